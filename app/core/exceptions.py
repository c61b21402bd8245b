"""What the mechanisms themselves refuse."""

from typing import Any

from app.exceptions import AppError, BadRequestError, ConflictError, NotFoundError, UnprocessableError


class TransactionConflictError(ConflictError):
    """Another request changed the same data at the same time. Try again."""

    code = "transaction_conflict"


class IdempotencyKeyError(BadRequestError):
    """Send one Idempotency-Key, of 1 to 255 visible ASCII characters, plain or in double quotes."""

    code = "idempotency_key"


class IdempotencyRefusedError(BadRequestError):
    """This operation answers with a secret, which is never stored: send it without an Idempotency-Key."""

    code = "idempotency_refused"


class IdempotencyInFlightError(ConflictError):
    """A request with this Idempotency-Key is still being worked on. Try again in a moment."""

    code = "idempotency_in_flight"
    constraint = "uq_idempotency_keys_key_hash_generation"

    def __init__(self, detail: str | None = None, **options: Any) -> None:
        super().__init__(detail, **options)
        self.headers.setdefault("Retry-After", "1")


class IdempotencyMismatchError(UnprocessableError):
    """This Idempotency-Key was used for another request. Take a new key for each request."""

    code = "idempotency_mismatch"


class IdempotencyAnswerError(ConflictError):
    """The request with this Idempotency-Key was carried out; its answer was too large to keep. Read the result."""

    code = "idempotency_answer_not_kept"


class SilentChangeError(RuntimeError):
    """A transaction changed rows of a tenant and announced nothing: emit an event, or say ctx.quiet('why')."""


class TaskNotFoundError(NotFoundError):
    """There is no such task here."""

    code = "task_not_found"


class EventNotFoundError(NotFoundError):
    """There is no such event here that anybody hears of after its commit."""

    code = "event_not_found"


class MockOperationNotFoundError(NotFoundError):
    """There is no operation of this name: the document lists them as `operationId`."""

    code = "mock_operation_not_found"


class MockStatusNotFoundError(NotFoundError):
    """The operation documents no answer with this status."""

    code = "mock_status_not_found"


class DeadLetterNotFoundError(NotFoundError):
    """There is no such dead letter here."""

    code = "dead_letter_not_found"


class DeadLetterSettledError(ConflictError):
    """This is no dead letter any more, or not yet: it waits, runs, or is over."""

    code = "dead_letter_settled"


class DeadLetterRefusedError(ConflictError):
    """This job was found in the broker, and nobody here had sent it: it can be discarded, never run."""

    code = "dead_letter_refused"


class KeyWaitsError(ConflictError):
    """Another task of the same key waits or runs. Try again when it is over, or discard this one."""

    code = "unique_key_waits"
    constraint = "uq_outbox_entries_unique_key"


class TaskArgumentsError(ValueError):
    """A task was called with arguments that it does not take."""


class TaskResultError(ValueError):
    """A task returned what cannot be kept: JSON does not know it, or it is too large."""


class TaskTenantError(ValueError):
    """A task runs in a tenant: one that is declared `system=True` in the system tenant, any other in its caller's."""


class TenantsFailedError(RuntimeError):
    """A run through tenants did not do what it should for some of them; the log says which, and why."""

    def __init__(self, count: int) -> None:
        super().__init__(f"failed for {count} tenant(s); see tenant_failed in the log")


class LeaseLostError(RuntimeError):
    """An entry of the outbox was taken over while it ran here: this effect is rolled back, the other's counts."""


class AnswerMismatchError(RuntimeError):
    """A served body is not what the operation declares; only the validating mode raises it."""


class RangeNotSatisfiableError(AppError):
    """The file has no such bytes."""

    status, code, title = 416, "range_not_satisfiable", "Range not satisfiable"
