"""The rules of the door: one class a file, imported by its file, so that nobody loads what they do not need."""
