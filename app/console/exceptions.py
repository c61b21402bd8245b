"""What can go wrong in the console."""

from app.exceptions import AppError, ConflictError, ForbiddenError, NotFoundError, UnavailableError


class ForgedRequestError(ForbiddenError):
    """The request did not come from a page of the console, or the page is from before the sign-in. Load it again."""

    code = "csrf_token"


class TokenNotAcceptedError(ForbiddenError):
    """The console is for people in a browser: it takes its own sign-in, and no token or key of the API."""

    code = "token_not_accepted"


class WithheldError(ForbiddenError):
    """The console does not remove tasks."""

    code = "withheld"


class JobNotFoundError(NotFoundError):
    """There is no such task."""

    code = "job_not_found"


class JobNotFailedError(ConflictError):
    """The task is not among the failed ones."""

    code = "job_not_failed"


class BrokerUnreachableError(UnavailableError):
    """The broker cannot be reached."""

    code = "broker_unreachable"


class UnreadableError(AppError):
    """What the broker holds here cannot be shown; the log says why."""

    code, title = "unreadable", "Unreadable"
