"""Work that is done for one tenant after the other: what fails for one keeps nobody else from theirs."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from app.core.exceptions import TenantsFailedError
from app.extensions.logs import get_logger

log = get_logger(__name__)


class Turns:
    """A run through tenants; it goes on when the turn of one fails, and fails itself when all have had theirs."""

    def __init__(self, run: str) -> None:
        self.run, self.failed = run, set[uuid.UUID]()

    @contextmanager
    def of(self, tenant_id: uuid.UUID) -> Iterator[None]:
        """Log what is raised in the turn of a tenant, and remember it for the end."""
        try:
            yield
        except Exception:
            self.failed.add(tenant_id)
            log.exception("tenant_failed", run=self.run, tenant_id=str(tenant_id))

    def end(self) -> None:
        """Raise `TenantsFailedError` when there was a tenant whose turn failed."""
        if self.failed:
            raise TenantsFailedError(len(self.failed))
