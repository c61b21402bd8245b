"""The rules of the door: one class a file."""

from app.auth.services.console import ConsoleSessionService
from app.auth.services.emails import EmailService
from app.auth.services.invitations import AcceptanceService
from app.auth.services.links import LinkService, Purpose
from app.auth.services.passwords import PasswordService
from app.auth.services.registration import RegistrationService
from app.auth.services.retention import SignInRetentionService
from app.auth.services.sessions import SessionService, end_sessions
from app.auth.services.superusers import OversightService

__all__ = [
    "AcceptanceService",
    "ConsoleSessionService",
    "EmailService",
    "LinkService",
    "OversightService",
    "PasswordService",
    "Purpose",
    "RegistrationService",
    "SessionService",
    "SignInRetentionService",
    "end_sessions",
]
