"""What can go wrong with signing in."""

from app.exceptions import (
    BadRequestError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    UnauthenticatedError,
    UnprocessableError,
)


class WrongCredentialsError(UnauthenticatedError):
    """The e-mail address or the password is wrong."""

    code = "wrong_credentials"


class RefreshRefusedError(UnauthenticatedError):
    """The refresh token is unknown, expired or used up. Sign in again."""

    code = "refresh_refused"


class WeakPasswordError(UnprocessableError):
    """The password is refused; `errors` says why."""

    code, title = "weak_password", "Weak password"


class WrongPasswordError(BadRequestError):
    """The present password is another one."""

    code = "wrong_password"


class LinkRefusedError(BadRequestError):
    """The link is unknown, expired or used up. Ask for a new one."""

    code = "link_refused"


class SessionNotFoundError(NotFoundError):
    """You have no such session."""

    code = "session_not_found"


class TenantHeaderError(BadRequestError):
    """Name one tenant in the X-Tenant-ID header, as a UUID in lower case with dashes."""

    code = "tenant_header"


class TenantNotFoundError(NotFoundError):
    """You are no member of such a tenant."""

    code = "tenant_not_found"


class ModuleDisabledError(ForbiddenError):
    """Your tenant has switched this module off."""

    code = "module_disabled"


class TenantSuspendedError(ForbiddenError):
    """This tenant is suspended. Ask who runs this installation."""

    code = "tenant_suspended"


class TenantDeletedError(ForbiddenError):
    """This tenant was deleted. Who may delete it may still restore it."""

    code = "tenant_deleted"


class KeyNotAcceptedError(ForbiddenError):
    """This needs a person who signed in: an API key acts in its tenant alone."""

    code = "key_not_accepted"


class AccountNeededError(UnprocessableError):
    """Nobody has an account with the invited address yet: send full_name and password too."""

    code = "account_needed"


class OwnAccountError(ConflictError):
    """Nobody disables their own account."""

    code = "own_account"


class UnprovenAccountError(ConflictError):
    """This address was never verified: sign in to its account first, or set a new password by mail, then accept."""

    code = "email_not_verified"
