"""What can go wrong with people."""

from app.exceptions import ConflictError


class EmailTakenError(ConflictError):
    """This e-mail address is registered already."""

    code = "email_taken"
    constraint = "uq_users_email"
