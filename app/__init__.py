"""Groundplan: a multi-tenant backend that a team starts from and keeps."""
