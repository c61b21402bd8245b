"""The sequencer: the one that chains the audit, outside every request.

Each entry gets a number in its tenant and a digest over itself and, by the digest before, over all earlier ones. So an
entry that is changed, removed or put in later shows, unless every link after it is made anew; and that shows as long
as the anchor, a file outside the database, says where the chain ended.
"""

import asyncio
import contextlib
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.audit.adapters import NOTHING, AnchorFile, BadAnchorError, Head, Heads
from app.audit.utils import link_digest
from app.config import settings
from app.extensions.logs import get_logger
from app.sections import AuditSettings, SettingsError
from app.utils.helpers import utcnow

BATCH = 2000
"""Entries that one transaction chains."""

SEQUENCER_LOCK = 4_703_613
"""The key of the advisory lock that one sequencer at a time holds."""

LOCK = text("select pg_try_advisory_xact_lock(:key)")
TAKE = text("""
    delete from audit_unchained w using (
        select tenant_id, id from audit_unchained order by tenant_id, id limit :size
    ) first
    where w.tenant_id = first.tenant_id and w.id = first.id
    returning w.tenant_id, w.id, w.digest,
        exists (select 1 from audit_chain c where c.tenant_id = w.tenant_id and c.id = w.id) as chained
""")
ENDS = text("""
    select t.id as tenant_id, last.seq, last.digest
    from unnest(cast(:tenants as uuid[])) as t (id) cross join lateral (
        select seq, digest from audit_chain where tenant_id = t.id order by seq desc limit 1
    ) last
""")
ALL_ENDS = text(ENDS.text.replace("unnest(cast(:tenants as uuid[])) as t (id)", "tenants t"))
HELD = text("""
    select a.tenant_id from unnest(cast(:tenants as uuid[]), cast(:seqs as bigint[]), cast(:digests as text[]))
        as a (tenant_id, seq, digest)
    join audit_chain c on c.tenant_id = a.tenant_id and c.seq = a.seq and c.digest = a.digest
""")
ADD = text("""
    insert into audit_chain (tenant_id, id, seq, entry_digest, digest, chained_at)
    select tenant_id, id, seq, entry_digest, digest, :now from unnest(
        cast(:tenants as uuid[]), cast(:ids as uuid[]), cast(:seqs as bigint[]), cast(:entries as text[]),
        cast(:digests as text[])
    ) as l (tenant_id, id, seq, entry_digest, digest)
""")

log = get_logger(__name__)


class Sequencer:
    """Chains the entries that wait; `engine` is connected as the relay.

    Any number of them may run on one database: they take turns by an advisory lock, and who does not get it does
    nothing. Within a tenant entries are chained in the order of their ids as far as they wait together; one that was
    committed later comes later. The anchor follows each commit, so that it may lag behind the chain and is never ahead;
    its file is there before the first link.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        anchor: AnchorFile | None = None,
        *,
        pause: float = settings.audit.chain_seconds,
        batch: int = BATCH,
    ) -> None:
        self.engine, self.anchor, self.pause, self.batch = engine, anchor, pause, batch

    async def run(self, stop: asyncio.Event) -> None:
        """Chain what waits, again and again, until `stop` is set; what fails is logged and tried again."""
        caught_up = False
        while not stop.is_set():
            try:
                if not caught_up:
                    await self.catch_up()
                    caught_up = True
                await self.run_once()
            except Exception:  # the database may be away, the disk full: nothing is lost, the queue waits
                log.exception("audit_not_chained")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self.pause)

    async def run_once(self) -> int:
        """Chain everything that waits; return how many entries that were, 0 while another sequencer is at work."""
        done = 0
        while True:
            taken = await self._chain_some()
            done += taken
            if taken < self.batch:
                return done

    async def catch_up(self) -> None:
        """Bring the anchor up to the chains: the process may have ended between a commit and the anchor."""
        if self.anchor is not None:
            async with self.engine.connect() as connection:
                ends = {row.tenant_id: Head(row.seq, row.digest) for row in await connection.execute(ALL_ENDS)}
                trusted = await self._still_held(connection, ends)
            await self._anchor({tenant: ends[tenant] for tenant in trusted})

    async def _chain_some(self) -> int:
        """Chain some entries in one transaction, then move the anchor; return how many were taken from the queue."""
        async with self.engine.begin() as connection:
            if not await connection.scalar(LOCK, {"key": SEQUENCER_LOCK}):
                return 0
            taken = (await connection.execute(TAKE, {"size": self.batch})).all()
            # An id that is in the chain came back: somebody put an entry in a second time. Verifying tells.
            waiting = sorted((row for row in taken if not row.chained), key=lambda row: (row.tenant_id, row.id))
            if not waiting:
                return len(taken)
            tenants = list({row.tenant_id for row in waiting})
            before = dict.fromkeys(tenants, NOTHING)
            found = await connection.execute(ENDS, {"tenants": tenants})
            before |= {row.tenant_id: Head(row.seq, row.digest) for row in found}
            trusted = await self._still_held(connection, before)
            ends = await self._add(connection, waiting, before)
            await self._create_anchor()
        await self._anchor({tenant: ends[tenant] for tenant in trusted})
        return len(taken)

    async def _add(self, connection: AsyncConnection, waiting: Sequence[Row[Any]], before: Heads) -> Heads:
        """Add a link for each entry; return where the chains end now."""
        now, ends, links = utcnow(), dict(before), []
        for row in waiting:
            last = ends[row.tenant_id]
            digest = link_digest(last.digest, last.seq + 1, row.id, row.digest, now)
            ends[row.tenant_id] = Head(last.seq + 1, digest)
            links.append((row.tenant_id, row.id, last.seq + 1, row.digest, digest))
        names = ("tenants", "ids", "seqs", "entries", "digests")
        columns = dict(zip(names, map(list, zip(*links, strict=True)), strict=True))
        await connection.execute(ADD, {**columns, "now": now})
        return ends

    async def _still_held(self, connection: AsyncConnection, ends: Heads) -> set[uuid.UUID]:
        """Return the tenants whose chain still holds what the anchor knows of it, or of whom it knows nothing.

        The anchor moves on along a chain and never to another: a chain that was cut and has grown again is told by
        verifying, from the head that the anchor keeps.
        """
        if self.anchor is None:
            return set()
        try:
            anchored = await asyncio.to_thread(self.anchor.read)
        except BadAnchorError:  # the chain goes on, the anchor stays as it is for who verifies
            log.exception("audit_anchor_unreadable")
            return set()
        known = {tenant: anchored[tenant] for tenant in ends if tenant in anchored}
        seqs, digests = ([getattr(head, name) for head in known.values()] for name in ("seq", "digest"))
        found = await connection.execute(HELD, {"tenants": list(known), "seqs": seqs, "digests": digests})
        held = set(found.scalars())
        for tenant in known.keys() - held:
            log.error("audit_chain_broken", tenant=tenant, seq=known[tenant].seq)
        return {tenant for tenant in ends if tenant not in known or tenant in held}

    async def _create_anchor(self) -> None:
        """Have the anchor there before the first link is: a chain without one is a fault for who verifies.

        Where that fails the chain goes on, and moving the anchor tells.
        """
        if self.anchor is not None:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(self.anchor.create)

    async def _anchor(self, heads: Heads) -> None:
        """Move the anchor."""
        if self.anchor is not None and heads:
            await asyncio.to_thread(self.anchor.advance, heads)


def sequencer(engine: AsyncEngine) -> Sequencer:
    """Return a sequencer as the settings ask for it."""
    return Sequencer(engine, configured_anchor())


def configured_anchor(config: AuditSettings = settings.audit) -> AnchorFile | None:
    """Return the anchor of the settings, if there is one; raises SettingsError where its folder is not there."""
    if not config.anchor:
        return None
    anchor = AnchorFile(Path(config.anchor))
    if not anchor.path.parent.is_dir():
        raise SettingsError(f"audit.anchor: there is no folder {anchor.path.parent.absolute()}")
    return anchor
