"""The rules of the door: one class a file."""

from app.auth.services.invitations import AcceptanceService
from app.auth.services.registration import RegistrationService
from app.auth.services.sessions import SessionService
from app.auth.services.superusers import OversightService

__all__ = ["AcceptanceService", "OversightService", "RegistrationService", "SessionService"]
