"""Inline tasks: entries are carried out in this process, on the running loop, without a broker."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from functools import partial

from app.core.relay import Ticket
from app.core.runner import RunFailedError, Runner
from app.extensions.logs import get_logger

log = get_logger(__name__)


class InlineTransport:
    """Runs what it is sent, `concurrency` entries at a time; `freed` is called when there is room again."""

    def __init__(self, runner: Runner, concurrency: int, freed: Callable[[], None] = lambda: None) -> None:
        self.runner, self.concurrency, self.freed = runner, concurrency, freed
        self.running: dict[Ticket, asyncio.Task[None]] = {}

    def room(self) -> int:
        """Return how many more runs fit."""
        return self.concurrency - len(self.running)

    async def send(self, tickets: Sequence[Ticket]) -> None:
        """Start a run for each ticket."""
        for ticket in tickets:
            run = self.running[ticket] = asyncio.create_task(self.do(ticket), name=ticket.name)
            run.add_done_callback(partial(self.forget, ticket))

    async def do(self, ticket: Ticket) -> None:
        """Run one; its failure stands in the entry, and one that could not even begin is found by the relay."""
        try:
            await self.runner.run(ticket.tenant_id, ticket.id)
        except RunFailedError:
            return
        except Exception:  # nobody waits for it who could be told
            log.exception("run_not_recorded", name=ticket.name, entry_id=str(ticket.id))

    def forget(self, ticket: Ticket, _: object) -> None:
        """Take note that a run is over."""
        self.running.pop(ticket, None)
        self.freed()

    async def missing(self, tickets: Sequence[Ticket]) -> Collection[Ticket]:
        """Return those that do not run here: a run elsewhere has begun, and is no ticket any more."""
        return [ticket for ticket in tickets if ticket not in self.running]

    async def stop(self, grace: float) -> None:
        """Let what runs come to its end for `grace` seconds, then give it back to the outbox."""
        running = set(self.running.values())
        if running:
            _, late = await asyncio.wait(running, timeout=grace)
            for run in late:
                run.cancel()
            await asyncio.gather(*late, return_exceptions=True)
