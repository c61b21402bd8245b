"""Tests of logs, middleware and the shape of errors."""
