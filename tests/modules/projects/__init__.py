"""Tests of modules projects."""
