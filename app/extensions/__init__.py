"""Plumbing around requests: logs, middleware and the shape of errors."""
