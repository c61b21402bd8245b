"""The database: engine, models' base, the tenant-bound session, roles and policies."""
