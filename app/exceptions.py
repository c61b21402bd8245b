"""Error base classes: each has a status, a stable code, and a docstring that is its default message.

Packages subclass these in their own `exceptions.py`; `app.extensions.problems` renders them (RFC 9457). Nothing here
knows HTTP beyond the number.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class HopelessError(Exception):
    """A run of the outbox failed and would fail again: it is a dead letter at once."""


class AppError(Exception):
    """Something went wrong."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"
    constraint: ClassVar[str] = ""
    """The unique constraint or index whose violation means this error; the model takes its name from here."""

    def __init__(
        self,
        detail: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.detail = detail or inspect.cleandoc(type(self).__doc__ or "").split("\n")[0]
        self.headers = dict(headers or {})
        self.errors = [dict(error) for error in errors]
        super().__init__(self.detail)

    @classmethod
    def for_constraint(cls, name: str, default: "type[AppError]") -> "AppError":
        """Return the error that stands for a violated constraint, or `default`."""
        pending: list[type[AppError]] = [AppError]
        while pending:
            kind = pending.pop()
            if name and kind.constraint == name:
                return kind()
            pending += kind.__subclasses__()
        return default()


class BadRequestError(AppError):
    """The request cannot be understood."""

    status, code, title = 400, "bad_request", "Bad request"


class UnauthenticatedError(AppError):
    """Sign in first: the access token is missing, expired or not valid."""

    status, code, title = 401, "unauthenticated", "Not signed in"

    def __init__(self, detail: str | None = None, **options: Any) -> None:
        super().__init__(detail, **options)
        self.headers.setdefault("WWW-Authenticate", "Bearer")


class ForbiddenError(AppError):
    """You may not do this here."""

    status, code, title = 403, "forbidden", "Forbidden"


class NotFoundError(AppError):
    """There is no such thing here."""

    status, code, title = 404, "not_found", "Not found"


class RequestTimeoutError(AppError):
    """The request body did not arrive in time."""

    status, code, title = 408, "request_timeout", "Request timeout"


class ConflictError(AppError):
    """This contradicts what is stored already."""

    status, code, title = 409, "conflict", "Conflict"


class PreconditionFailedError(AppError):
    """The object has another version than If-Match names. Read it again."""

    status, code, title = 412, "precondition_failed", "Precondition failed"


class PayloadTooLargeError(AppError):
    """The request body is too large."""

    status, code, title = 413, "payload_too_large", "Payload too large"


class UnprocessableError(AppError):
    """A value cannot be stored."""

    status, code, title = 422, "unprocessable", "Unprocessable content"


class RateLimitedError(AppError):
    """Too many of these in a short time. Try again after the seconds that Retry-After names."""

    status, code, title = 429, "rate_limited", "Too many requests"


class UnavailableError(AppError):
    """The service is busy or cannot reach its database. Try again in a moment."""

    status, code, title = 503, "unavailable", "Unavailable"

    def __init__(self, detail: str | None = None, **options: Any) -> None:
        super().__init__(detail, **options)
        self.headers.setdefault("Retry-After", "1")
