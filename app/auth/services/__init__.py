"""The rules of the door: one class a file."""

from app.auth.services.registration import RegistrationService
from app.auth.services.sessions import SessionService

__all__ = ["RegistrationService", "SessionService"]
