"""Every router of the application, in the order of the document."""

from app.audit.routes import router as audit
from app.auth.routes import door, invitations, superusers
from app.core.routes import mock
from app.core.routes import router as core
from app.core.routing import Router
from app.files.routes import router as files
from app.modules.billing.routes import hooks as billing_hooks
from app.modules.billing.routes import router as billing
from app.modules.notifications.routes import router as notifications
from app.modules.projects.routes import router as projects
from app.tenants.routes import router as tenants
from app.users.routes import router as users

PREFIX = "/api/v1"

ROUTERS: list[Router] = [
    door,
    users,
    tenants,
    invitations,
    projects,
    files,
    notifications,
    billing,
    billing_hooks,
    audit,
    superusers,
    core,
]

REHEARSALS: list[Router] = [mock]
"""What is served beside them, but not in production."""
