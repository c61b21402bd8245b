"""The test suite: one folder a package."""
