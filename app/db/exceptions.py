"""What the database layer refuses."""


class TenantViolationError(RuntimeError):
    """A statement or a row would leave the session's tenant; always a mistake in the code, never in the input."""
