"""What writes modules and projects, and takes modules out again; it runs on a checkout, and never serves."""
