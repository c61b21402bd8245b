"""Verifying the audit: every entry against its digest, its chain, and the anchor; the first bad row is named."""

import json
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Text, and_, cast, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.audit.adapters import NOTHING, AnchorFile, BadAnchorError, Head
from app.audit.models import AuditEntry, AuditLink, AuditWaiting
from app.audit.utils import DIGESTED, entry_digest, link_digest

BATCH = 1000
"""Rows that are read at once."""

ENTRY, LINK, WAITING = AuditEntry.__table__, AuditLink.__table__, AuditWaiting.__table__
JSON = ("before", "after")
SNAPSHOTS: list[ColumnElement[Any]] = [cast(ENTRY.c[name], Text).label(name) for name in JSON]
"""As text: whatever stands there is to be read without a mistake, also what nobody of ours has written."""

COLUMNS = [ENTRY.c[name] for name in (*DIGESTED, "digest") if name not in JSON] + SNAPSHOTS

ENTER = text("select set_config('app.tenant_id', :tenant, true)")
TENANTS = text("select id from tenants order by id")


class BadRowError(Exception):
    """A row is not as it was written, or is not there; the message names it and says what is wrong."""


@dataclass
class Report:
    """What was verified: how many tenants and entries, and how many entries are still to be chained."""

    tenants: int = 0
    entries: int = 0
    waiting: int = 0


@dataclass
class Walk:
    """How far a tenant's chain was followed."""

    tenant: uuid.UUID
    anchored: Head
    last: Head = NOTHING
    report: Report = field(default_factory=Report)

    def step(self, link: RowMapping) -> None:
        """Go on to the next link, or raise `BadRowError`."""
        seq = self.last.seq + 1
        if link["seq"] != seq:
            raise self.bad_link(seq, "is missing, or has another number")
        digest = link_digest(self.last.digest, seq, link["link_id"], link["entry_digest"], link["chained_at"])
        if digest != link["link_digest"]:
            raise self.bad_link(seq, f"of entry {link['link_id']} was changed, or stands in another's place")
        if seq == self.anchored.seq and digest != self.anchored.digest:
            raise self.bad_link(seq, "is another one than the anchor holds: the chain was made anew")
        self.check_entry(link["link_id"], link["entry_digest"], link)
        self.last = Head(seq, digest)
        self.report.entries += 1

    def check_entry(self, entry_id: uuid.UUID, sealed: str, entry: RowMapping) -> None:
        """Raise `BadRowError` unless the entry is there, as it was when it was sealed.

        One that is older than digests has none: that it is there is all that can be told.
        """
        if entry["id"] is None:
            raise self.bad_entry(entry_id, "was deleted")
        if entry["digest"] != sealed or (sealed and digest_of(entry) != sealed):
            raise self.bad_entry(entry_id, "was changed after it was written")

    def end(self) -> None:
        """Raise `BadRowError` for a chain that ends before the anchor does."""
        if self.last.seq < self.anchored.seq:
            lost = f"is missing: the anchor knows {self.anchored.seq} links, the end was cut off"
            raise self.bad_link(self.last.seq + 1, lost)

    def bad_entry(self, entry_id: uuid.UUID, what: str) -> BadRowError:
        """Return the error that names an entry."""
        return BadRowError(f"tenant {self.tenant}: entry {entry_id} {what}")

    def bad_link(self, seq: int, what: str) -> BadRowError:
        """Return the error that names a link."""
        return BadRowError(f"tenant {self.tenant}: link {seq} of the chain {what}")


class Verifier:
    """Reads entries and chains as the application does, tenant after tenant, and as the relay what spans tenants.

    `application` and `relay` are engines of these roles. What is in memory at once does not grow with the audit.
    """

    def __init__(self, application: AsyncEngine, relay: AsyncEngine, anchor: AnchorFile | None = None) -> None:
        self.application, self.relay, self.anchor = application, relay, anchor

    async def run(self, tenant_id: uuid.UUID | None = None) -> Report:
        """Verify one tenant or all; raise `BadRowError` for the first row that is not as it should be.

        The anchor is read before the chains: meanwhile they may grow beyond it.
        """
        anchored = self._anchored()
        async with self.relay.connect() as connection:
            tenants = list(await connection.scalars(TENANTS))
            chained = await connection.scalar(select(select(LINK.c.id).exists()))
        if self.anchor is not None and chained and not self.anchor.path.exists():
            raise BadRowError(f"the anchor {self.anchor.path} is missing: whether ends were cut off cannot be told")
        report = Report()
        for tenant in [tenant_id] if tenant_id else sorted({*tenants, *anchored}):
            await self._verify(Walk(tenant, anchored.get(tenant, NOTHING), report=report))
            report.tenants += 1
        return report

    def _anchored(self) -> Mapping[uuid.UUID, Head]:
        """Return where the chains ended when the anchor was written."""
        try:
            return self.anchor.read() if self.anchor else {}
        except BadAnchorError as error:
            raise BadRowError(str(error)) from error

    async def _verify(self, walk: Walk) -> None:
        """Follow a tenant's chain, then look at the entries that are not in it."""
        async with self._inside(walk.tenant) as connection:
            while links := (await connection.execute(some_links(walk))).mappings().all():
                for link in links:
                    walk.step(link)
            walk.end()
            last = None
            while rows := (await connection.execute(some_unchained(walk.tenant, last))).mappings().all():
                await self._verify_unchained(walk, connection, rows)
                last = rows[-1]["id"]
        await self._verify_queue(walk)

    async def _verify_unchained(self, walk: Walk, connection: AsyncConnection, rows: Any) -> None:
        """Raise `BadRowError` for an entry that neither waits to be chained nor was chained in the meantime."""
        ids = [row["id"] for row in rows]
        async with self.relay.connect() as relay:
            query = select(WAITING.c.id, WAITING.c.digest).where(WAITING.c.tenant_id == walk.tenant)
            sealed = {row.id: row.digest for row in await relay.execute(query.where(WAITING.c.id.in_(ids)))}
        query = select(LINK.c.id, LINK.c.entry_digest).where(LINK.c.tenant_id == walk.tenant)
        found = await connection.execute(query.where(LINK.c.id.in_(ids)))
        sealed |= {row.id: row.entry_digest for row in found}
        for row in rows:
            if row["id"] not in sealed:
                raise walk.bad_entry(
                    row["id"],
                    "is in no chain and waits for none: it was put in past the queue, or its link was removed",
                )
            walk.check_entry(row["id"], sealed[row["id"]], row)
            walk.report.waiting += 1

    async def _verify_queue(self, walk: Walk) -> None:
        """Raise `BadRowError` for an entry that was deleted before it was chained."""
        last = None
        while True:
            async with self.relay.connect() as relay:
                ids = list(await relay.scalars(some_waiting(walk.tenant, last)))
            if not ids:
                return
            async with self._inside(walk.tenant) as connection:
                mine = and_(ENTRY.c.tenant_id == walk.tenant, ENTRY.c.id.in_(ids))
                there = set(await connection.scalars(select(ENTRY.c.id).where(mine)))
            for entry_id in ids:
                if entry_id not in there:
                    raise walk.bad_entry(entry_id, "was deleted before it was chained")
            last = ids[-1]

    @asynccontextmanager
    async def _inside(self, tenant: uuid.UUID) -> AsyncIterator[AsyncConnection]:
        """Yield a connection that sees the rows of one tenant."""
        async with self.application.connect() as connection:
            await connection.execute(ENTER, {"tenant": str(tenant)})
            yield connection


def some_links(walk: Walk) -> Any:
    """Return what reads the next links of a chain, each with its entry, if that is there."""
    own = and_(ENTRY.c.tenant_id == LINK.c.tenant_id, ENTRY.c.id == LINK.c.id)
    seen = [LINK.c.tenant_id == walk.tenant, LINK.c.seq > walk.last.seq]
    names = (LINK.c.seq, LINK.c.id.label("link_id"), LINK.c.entry_digest, LINK.c.digest.label("link_digest"))
    query = select(*names, LINK.c.chained_at, *COLUMNS).select_from(LINK.outerjoin(ENTRY, own))
    return query.where(*seen).order_by(LINK.c.seq).limit(BATCH)


def some_unchained(tenant: uuid.UUID, last: uuid.UUID | None) -> Any:
    """Return what reads the next entries that are in no chain."""
    link = select(LINK.c.id).where(LINK.c.tenant_id == ENTRY.c.tenant_id, LINK.c.id == ENTRY.c.id)
    query = select(*COLUMNS).where(ENTRY.c.tenant_id == tenant, ~link.exists())
    return (query if last is None else query.where(ENTRY.c.id > last)).order_by(ENTRY.c.id).limit(BATCH)


def some_waiting(tenant: uuid.UUID, last: uuid.UUID | None) -> Any:
    """Return what reads the next entries of the queue."""
    query = select(WAITING.c.id).where(WAITING.c.tenant_id == tenant)
    return (query if last is None else query.where(WAITING.c.id > last)).order_by(WAITING.c.id).limit(BATCH)


def digest_of(entry: RowMapping) -> str:
    """Return the digest of a row as it stands, nothing for one that cannot be read: nobody of ours wrote it."""
    try:
        snapshots = {name: None if entry[name] is None else json.loads(entry[name]) for name in JSON}
    except (ValueError, RecursionError):
        return ""
    return entry_digest({**entry, **snapshots})
