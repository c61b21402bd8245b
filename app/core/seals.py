"""Seals: how a worker tells an entry that this installation sent from whatever else is written into Redis.

A job in Redis is data: a tenant, an entry of the outbox, and a seal over both (HMAC-SHA256, RFC 2104, under
a key derived from the signing keys). No function's name that is found there is ever followed, and nothing is unpickled.
"""

import hashlib
import hmac
import json
import uuid
from collections.abc import Sequence

from app.core.relay import Ticket

PURPOSE = b"groundplan: seal of a job, version 1"
LARGEST = 2048
"""Bytes of a job's data: ours have some 300."""


class SealBrokenError(Exception):
    """A job was found in the broker that nobody of this installation sent. It was not run."""


class Seals:
    """Makes seals by the first key, and knows those of every key."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = [hmac.digest(key.encode(), PURPOSE, hashlib.sha256) for key in keys]

    def arguments(self, ticket: Ticket) -> dict[str, str]:
        """Return what a job carries, all of it."""
        given = {"tenant_id": str(ticket.tenant_id), "entry_id": str(ticket.id)}
        return {**given, "seal": seal(self.keys[0], ticket.tenant_id, ticket.id)}

    def open(self, data: bytes) -> tuple[uuid.UUID, uuid.UUID]:
        """Return the tenant and the entry that a job's data names; raises `SealBrokenError`, whatever the data is.

        The data is RQ's, in JSON: a function's name and an instance, which are not looked at, and the arguments.
        """
        if len(data) > LARGEST:
            raise SealBrokenError(f"its data is {len(data)} bytes long")
        try:
            _, _, _, arguments = json.loads(data)
            tenant_id, entry_id = uuid.UUID(arguments["tenant_id"]), uuid.UUID(arguments["entry_id"])
            given = bytes.fromhex(arguments["seal"])
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise SealBrokenError("its data is not what a relay writes") from None
        wanted = [bytes.fromhex(seal(key, tenant_id, entry_id)) for key in self.keys]
        if not any([hmac.compare_digest(given, one) for one in wanted]):  # noqa: C419 - all are compared, always
            raise SealBrokenError("its seal is not ours")
        return tenant_id, entry_id


def seal(key: bytes, tenant_id: uuid.UUID, entry_id: uuid.UUID) -> str:
    """Return the seal of an entry, in hex."""
    return hmac.new(key, tenant_id.bytes + entry_id.bytes, hashlib.sha256).hexdigest()
