"""People: who they are, across all tenants."""
