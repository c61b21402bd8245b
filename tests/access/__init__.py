"""Who may call what, and in which order a request is refused."""
