"""What the mechanisms themselves refuse."""

from app.exceptions import ConflictError


class TransactionConflictError(ConflictError):
    """Another request changed the same data at the same time. Try again."""

    code = "transaction_conflict"


class SilentChangeError(RuntimeError):
    """A transaction changed rows of a tenant and announced nothing: emit an event, or say ctx.quiet('why')."""


class AnswerMismatchError(RuntimeError):
    """A served body is not what the operation declares; only the validating mode raises it."""
