"""What can stand in the way of writing."""


class ScaffoldError(Exception):
    """What was asked for cannot be written; the message says why. Nothing was."""
