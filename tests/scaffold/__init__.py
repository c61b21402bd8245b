"""Tests of what writes modules and projects."""
