"""Tenants, and the memberships that tie people to them."""
