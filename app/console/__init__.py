"""Pages for superusers: a sign-in of their own, and the dashboard of the task queue."""
