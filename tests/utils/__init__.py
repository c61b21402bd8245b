"""Tests of the small pieces."""
