"""Notices in the app: what happened, told to each member of the tenant."""
