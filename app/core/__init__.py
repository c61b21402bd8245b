"""The mechanisms everything stands on: context, unit of work, access, routing, events."""
