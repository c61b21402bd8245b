"""Tests of the asyncio worker for RQ, on a real Valkey."""
