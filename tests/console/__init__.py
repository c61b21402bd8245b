"""The console: its sign-in, its guard, what it makes of forged tasks, and a real browser in it."""
