"""Sign-in, sessions, and the gate that every request passes."""
