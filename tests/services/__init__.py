"""Tests of the outside world's clients."""
