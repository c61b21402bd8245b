"""HTTP of the door: one router a file."""

from app.auth.routes.door import router as door
from app.auth.routes.invitations import router as invitations
from app.auth.routes.superusers import router as superusers

__all__ = ["door", "invitations", "superusers"]
