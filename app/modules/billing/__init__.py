"""Billing: plans, subscriptions and invoices of a tenant's own customers; the module in the fancy anatomy."""
