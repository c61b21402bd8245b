"""Tests of the embedded engine, its supervisor and `app dev`, on real processes."""
