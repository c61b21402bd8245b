"""Tests of the contract: what the OpenAPI document says, and what is answered."""
