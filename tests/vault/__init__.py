"""Tests of settings from Vault, on a real OpenBao."""
