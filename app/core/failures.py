"""What the database refuses, in the words of the API."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm.exc import StaleDataError

from app.core.exceptions import TransactionConflictError
from app.exceptions import AppError, ConflictError, NotFoundError, UnavailableError, UnprocessableError

READ_ONLY = "25006"
"""read_only_sql_transaction: also what a server says that has become a standby."""

BY_STATE: dict[str, type[AppError]] = {
    "40001": TransactionConflictError,  # serialization_failure
    "40P01": TransactionConflictError,  # deadlock_detected
    "23514": UnprocessableError,  # check_violation
    "55P03": UnavailableError,  # lock_not_available
    "57014": UnavailableError,  # query_canceled: statement_timeout
    "25P03": UnavailableError,  # idle_in_transaction_session_timeout
    READ_ONLY: UnavailableError,
    "53300": UnavailableError,  # too_many_connections
}
"""PostgreSQL's SQLSTATE (appendix A of its manual) to our errors."""

CLASSES: dict[str, type[AppError]] = {
    "08": UnavailableError,  # connection exception
    "22": UnprocessableError,  # data exception
    "28": UnavailableError,  # invalid authorization: the role or its password is gone
    "3D": UnavailableError,  # the database is gone
    "53": UnavailableError,  # insufficient resources
    "57": UnavailableError,  # operator intervention
    "58": UnavailableError,  # system error
}
"""The same by class, the first two characters."""

REFUSED_BY_POLICY = "row-level security"
"""What PostgreSQL says in a 42501 that a policy caused; every other one is a missing grant, and ours to mend."""


@contextmanager
def translated(*, read_only: bool = False) -> Iterator[None]:
    """Raise our own errors in place of the driver's; what has no translation passes, and becomes a 500.

    In a transaction that is `read_only` by our own wish, a refused write is a mistake of ours, and no server's state.
    """
    try:
        yield
    except StaleDataError as error:
        raise TransactionConflictError from error
    except PoolTimeoutError as error:
        raise UnavailableError("All database connections are busy. Try again in a moment.") from error
    except DBAPIError as error:
        found = None if read_only and state_of(error) == READ_ONLY else translate(error)
        if found is None:
            raise
        raise found from error


def translate(error: DBAPIError) -> AppError | None:
    """Return our error for the driver's, or None."""
    state = state_of(error)
    if error.connection_invalidated:
        return UnavailableError()
    if state in {"23505", "23503"}:  # unique_violation, foreign_key_violation
        return AppError.for_constraint(constraint_of(error), ConflictError)
    if state == "42501" and REFUSED_BY_POLICY in str(error.orig):
        return NotFoundError()
    kind = BY_STATE.get(state) or CLASSES.get(state[:2])
    if kind is None and "DataError" in type(error.orig).__name__:
        kind = UnprocessableError
    return kind() if kind else None


def state_of(error: DBAPIError) -> str:
    """Return the SQLSTATE, or nothing."""
    return getattr(error.orig, "sqlstate", None) or ""


def constraint_of(error: DBAPIError) -> str:
    """Return the name of the constraint that was violated, or nothing."""
    cause = error.orig.__cause__ if error.orig else None
    return getattr(cause, "constraint_name", None) or ""
