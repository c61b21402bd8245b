"""Idempotency-Key on POST: the same request sent again is answered, and not carried out, a second time.

It follows draft-ietf-httpapi-idempotency-key-header-07. The answer is a row in the transaction of the change: both are
there or neither, whenever the process dies. The route class calls this; no feature knows of it.
"""

import datetime as dt
import hashlib
import hmac
import re
import uuid
from dataclasses import replace
from typing import Any, get_args

from sqlalchemy import (
    BigInteger,
    Boolean,
    Index,
    Row,
    UniqueConstraint,
    bindparam,
    delete,
    exists,
    func,
    literal,
    select,
)
from sqlalchemy.orm import Mapped, aliased, mapped_column
from starlette.requests import Request
from starlette.responses import Response

from app.config import settings
from app.core.context import Context
from app.core.exceptions import (
    IdempotencyAnswerError,
    IdempotencyInFlightError,
    IdempotencyKeyError,
    IdempotencyMismatchError,
)
from app.db.base import Base
from app.db.mixin import TenantMixin
from app.db.session import Database
from app.db.tenancy import ACTOR_ROWS, SYSTEM_TENANT_ID
from app.exceptions import BadRequestError
from app.utils.schemas import SecretResponse

LONGEST_KEY = 255
LARGEST_ANSWER = 65_536
"""Bytes of a body that are stored; of a larger one, or a stream, only that it was sent."""

PURGED_AT_ONCE = 10
"""Outdated rows that go with each new one: more than come, so that they never pile up."""

NOT_KEPT = frozenset({"content-length", "set-cookie"})
"""Headers that are not stored: the one is made anew, the other may hold a secret."""

BARE = re.compile(r"[\x21\x23-\x7e][\x21-\x7e]*")
QUOTED = re.compile(r'"((?:[\x21\x23-\x5b\x5d-\x7e]|\\["\\])+)"')
"""The draft's form, a string of RFC 8941; white space is refused here."""


class KeptAnswer(TenantMixin, Base):
    """The answer to a request that carried a key.

    It belongs to the tenant in which the work ended, and is looked up in the one that was selected, or by the actor
    while none is. A key that is used again when its row is outdated makes the next `generation`: the old row may be of
    another tenant, out of reach.
    """

    __tablename__ = "idempotency_keys"
    __bookkeeping__ = True
    actor_id: Mapped[uuid.UUID]
    key_hash: Mapped[bytes]
    generation: Mapped[int]
    fingerprint: Mapped[bytes]
    status: Mapped[int]
    headers: Mapped[dict[str, Any]]
    body: Mapped[bytes | None]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    __table_args__ = (
        UniqueConstraint("key_hash", "generation", name=IdempotencyInFlightError.constraint),
        Index("ix_idempotency_keys_created_at", "tenant_id", "created_at"),
        {"info": {"visibility": ACTOR_ROWS}},
    )

    @classmethod
    def owned_by(cls, actor_id: uuid.UUID) -> Any:
        """While no tenant is set, people see the answers to their own requests."""
        return cls.actor_id == actor_id


OUTDATED = func.now() - dt.timedelta(seconds=settings.server.idempotency_seconds)
OLD = aliased(KeptAnswer)
INSIDE = bindparam("inside", type_=Boolean())
"""Whether a tenant is set: by actor, no index finds what is outdated."""

LOOK = (
    select(
        func.pg_try_advisory_xact_lock(bindparam("lock", type_=BigInteger())).label("free"),
        (KeptAnswer.created_at > OUTDATED).label("live"),
        exists(select(OLD.id).where(INSIDE, OLD.created_at <= OUTDATED)).label("outdated"),
        KeptAnswer.generation,
        KeptAnswer.fingerprint,
        KeptAnswer.status,
        KeptAnswer.headers,
        KeptAnswer.body,
    )
    .select_from(select(literal(1)).subquery())
    .outerjoin(KeptAnswer, KeptAnswer.key_hash == bindparam("digest"))
    .order_by(KeptAnswer.generation.desc())
    .limit(1)
)
"""Take the lock of a key, if it is free, and read its youngest row: one row, empty where there is none."""


class KeyedRequest:
    """One request with a key, in one unit of work.

    Its scope is tenant, actor, method, path and key. Who is nobody yet (registration) is known by the key alone: an
    actor made of the digest stands in the row and opens the look-up, and never reaches the Context of the work.
    """

    def __init__(self, ctx: Context, request: Request, key: str, body: bytes) -> None:
        self.ctx = ctx
        scope = (str(ctx.tenant_id), str(ctx.actor_id), request.method, request.scope["path"], key)
        self.digest = hashlib.sha256("\n".join(scope).encode(errors="backslashreplace")).digest()
        self.actor_id = ctx.actor_id or uuid.UUID(bytes=self.digest[:16])
        query: bytes = request.scope["query_string"]
        self.fingerprints = fingerprints(b"%d\n%b\n%b" % (len(query), query, body))
        self.generation = 0
        self.inside = ctx.tenant_id is not None
        self.purges = True

    async def answer(self) -> Response | None:
        """Return the stored answer, or None for who comes first; then racers are refused until the commit.

        Raises `IdempotencyInFlightError`, `IdempotencyMismatchError` and `IdempotencyAnswerError`. An open operation
        looks in a transaction of its own, which ends here: its work may be slow before the first statement.
        """
        if self.ctx.actor_id is not None:
            row = await self._look(self.ctx.session)
            if not (row.live or row.free):
                raise IdempotencyInFlightError
        else:
            async with replace(self.ctx, actor_id=self.actor_id).reader() as reader:
                row = await self._look(reader.session)
        self.purges = row.outdated or not self.inside
        if not row.live:
            self.generation = 0 if row.generation is None else row.generation + 1
            return None
        return self._replay(row)

    async def _look(self, session: Database) -> Row[Any]:
        """Return the lock and the youngest row: a racer who commits between the two is stopped by the constraint."""
        lock = int.from_bytes(self.digest[:8], "big", signed=True)
        return (await session.execute(LOOK, {"lock": lock, "digest": self.digest, "inside": self.inside})).one()

    def _replay(self, row: Row[Any]) -> Response:
        """Return the stored answer, if the request is the stored one's."""
        if row.fingerprint not in self.fingerprints:
            raise IdempotencyMismatchError
        if row.body is None:
            raise IdempotencyAnswerError
        return Response(row.body, row.status, {**row.headers, "Idempotency-Replayed": "true"})

    async def keep(self, response: Response) -> None:
        """Add the answer to the transaction of the change; a refusal is not kept, so that it can be tried again.

        Work that entered no tenant is over when this is called: its row belongs to the system tenant.
        """
        if response.status_code >= BadRequestError.status:
            return
        session = self.ctx.session
        if session.sync_session.tenant_id is None:
            await session.flush()
            session.expunge_all()
            await session.enter(SYSTEM_TENANT_ID)
        if self.purges:
            await purge(session)
        body = getattr(response, "body", None)
        session.add(
            KeptAnswer(
                actor_id=self.actor_id,
                key_hash=self.digest,
                generation=self.generation,
                fingerprint=self.fingerprints[0],
                status=response.status_code,
                headers={name: value for name, value in response.headers.items() if name not in NOT_KEPT},
                body=body if body is not None and len(body) <= LARGEST_ANSWER else None,
            )
        )


async def purge(session: Database) -> None:
    """Delete some outdated rows of the session's tenant; those that another request deletes are passed over."""
    some = select(OLD.id).where(OLD.created_at <= OUTDATED).order_by(OLD.created_at).limit(PURGED_AT_ONCE)
    gone = delete(KeptAnswer).where(KeptAnswer.id.in_(some.with_for_update(skip_locked=True)))
    await session.execute(gone, execution_options={"synchronize_session": False})


def fingerprints(content: bytes) -> list[bytes]:
    """Return what stands for a request's content, one for each signing key; the first is stored.

    A plain hash would let who reads the table try passwords on it.
    """
    keys = settings.need("auth.signing_keys")
    return [hmac.digest(key.get_secret_value().encode(), b"idempotency\n" + content, "sha256") for key in keys]


def read_key(request: Request) -> str | None:
    """Return the key of a request that has one, else None; raise `IdempotencyKeyError` for two or a malformed one.

    `"x"`, as the draft spells it, and `x`, as most clients do, are the same key.
    """
    given = request.headers.getlist("idempotency-key")
    if not given:
        return None
    quoted = QUOTED.fullmatch(given[0])
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else given[0]
    if len(given) > 1 or not (quoted or BARE.fullmatch(key)) or len(key) > LONGEST_KEY:
        raise IdempotencyKeyError
    return key


def carries_secret(model: Any, seen: frozenset[Any] = frozenset()) -> bool:
    """Tell whether an answer's type is a `SecretResponse`, or holds one at any depth."""
    if not isinstance(model, type) or model in seen:
        return any(carries_secret(part, seen) for part in get_args(model))
    if issubclass(model, SecretResponse):
        return True
    fields = getattr(model, "model_fields", {}).values()
    parts = [*get_args(model), *(field.annotation for field in fields)]
    return any(carries_secret(part, seen | {model}) for part in parts)
