"""Projects: the module that others are copied from."""
