"""Every model there is, for who looks at the whole schema: migrations, checks of the database, and what purges tenants.

A process that is not the API loads models by this file alone.
"""

from types import ModuleType

from app.audit import models as audit
from app.auth import models as auth
from app.core import idempotency as core_idempotency
from app.core import outbox as core_outbox
from app.core import schedule as core_schedule
from app.db.base import Base
from app.files import models as files
from app.modules.billing import orm as billing
from app.modules.notifications import models as notifications
from app.modules.projects import models as projects
from app.tenants import models as tenants
from app.users import models as users

MODELS: list[ModuleType] = [
    users,
    auth,
    tenants,
    files,
    audit,
    core_outbox,
    core_schedule,
    core_idempotency,
    projects,
    notifications,
    billing,
]

SCHEMA = Base.metadata
"""Every table."""


def check_models() -> None:
    """Raise TypeError for a model that no line brings along: what loads less than the API would not know its table."""
    known = {module.__name__ for module in MODELS}
    for model in (mapper.class_ for mapper in Base.registry.mappers):
        if model.__module__.startswith("app.") and model.__module__ not in known:
            raise TypeError(f"{model.__module__} has a model, {model.__name__}, and no line in app/models.py")
