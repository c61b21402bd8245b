"""Attacks on running server processes, over real connections; each asserts, and says its figures at the end."""
