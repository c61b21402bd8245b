"""What can go wrong with people."""

from app.exceptions import ConflictError, NotFoundError


class EmailTakenError(ConflictError):
    """This e-mail address is registered already."""

    code = "email_taken"
    constraint = "uq_users_email"


class UserNotFoundError(NotFoundError):
    """There is no such person."""

    code = "user_not_found"
