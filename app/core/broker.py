"""Between the relay and the workers: RQ's queues in Valkey or Redis, and a channel that wakes the relay."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import redis.asyncio
from redis import Redis, RedisError
from rq.job import Job
from rq.queue import EnqueueData, Queue
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer

from app.core.context import Context
from app.core.events import JobRefused
from app.core.outbox import Kind, Outbox, OutboxEntry, Status
from app.core.relay import Ticket, TransportAwayError
from app.core.runner import Runner
from app.core.seals import SealBrokenError, Seals
from app.core.unit_of_work import UnitOfWork
from app.db.tenancy import SYSTEM_TENANT_ID
from app.extensions.logs import get_logger
from app.extensions.redaction import redact
from app.rqworker import AsyncWorker
from app.sections import TaskSettings
from app.utils.helpers import utcnow, uuid7

CHANNEL = "groundplan:outbox"
"""Where a commit that left something in the outbox is announced; the message says nothing more."""

ENTRY_POINT = "app.core.broker.SealedWorker"
"""What stands where RQ keeps a function's name; nobody looks it up."""

PATIENCE = 5.0
"""Seconds that the broker may take to answer."""

BEAT, MARGIN = 5, 10
"""Seconds between a worker's signs of life in Redis, and how much longer they count."""

RESULT_SECONDS = 500
FAILURE_SECONDS = 86_400
"""How long RQ's tools can show a job that ended; what counts is the entry in the outbox."""

REFUSED_AN_HOUR = 100
"""Forged jobs that are kept as dead letters; what comes beyond is logged only."""

LONGEST_EXCERPT = 500

log = get_logger(__name__)


class BrokerTransport:
    """Puts tickets into RQ's queues, from threads: RQ has no coroutine methods."""

    def __init__(self, url: str, seals: Seals, config: TaskSettings) -> None:
        self.connection = Redis.from_url(url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE)
        self.seals, self.config = seals, config
        self.queues = {name: queue(name, self.connection) for name in config.queues}

    def room(self) -> int:
        """Return how many tickets it takes at once."""
        return self.config.in_flight

    async def send(self, tickets: Sequence[Ticket]) -> None:
        """Put tickets into their queues in one round trip; raises `TransportAwayError`."""
        await self._away_or(partial(self.push, tickets))

    async def missing(self, tickets: Sequence[Ticket]) -> Collection[Ticket]:
        """Return those that are in no queue any more; raises `TransportAwayError`."""
        found: Collection[Ticket] = await self._away_or(partial(self.look, tickets))
        return found

    def push(self, tickets: Sequence[Ticket]) -> None:
        """Send it all at once, and take from RQ's list of failures what is tried again."""
        with self.connection.pipeline() as pipe:
            for name, target in self.queues.items():
                jobs = [self.job(ticket) for ticket in tickets if ticket.queue == name]
                failed = FailedJobRegistry(queue=target)
                for job in target.enqueue_many(jobs, pipeline=pipe):
                    failed.remove(job, pipeline=pipe)
            pipe.execute()

    def job(self, ticket: Ticket) -> EnqueueData:
        """Return a ticket as RQ takes it; the runner has limits of time of its own."""
        return Queue.prepare_data(
            ENTRY_POINT,
            kwargs=self.seals.arguments(ticket),
            timeout=-1,
            result_ttl=RESULT_SECONDS,
            failure_ttl=FAILURE_SECONDS,
            description=ticket.name,
            job_id=str(ticket.id),
        )

    def look(self, tickets: Sequence[Ticket]) -> Collection[Ticket]:
        """Look for each in its queue."""
        with self.connection.pipeline(transaction=False) as pipe:
            for ticket in tickets:
                pipe.lpos(self.queues[ticket.queue].key, str(ticket.id))
            places = pipe.execute()
        return [ticket for ticket, place in zip(tickets, places, strict=True) if place is None]

    async def _away_or(self, step: Callable[[], Any]) -> Any:
        try:
            return await asyncio.to_thread(step)
        except RedisError as error:
            raise TransportAwayError(f"the broker does not answer: {type(error).__name__}") from error

    def close(self) -> None:
        """Close the connections."""
        self.connection.close()


def queue(name: str, connection: Redis) -> Queue:
    """Return a queue whose jobs are JSON."""
    return Queue(name, connection=connection, serializer=JSONSerializer)


class Announcer:
    """Wakes the relay of another process after a commit; several at once become one message. It may get lost."""

    def __init__(self, url: str) -> None:
        self.client = redis.asyncio.Redis.from_url(url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE)
        self.sending: asyncio.Task[None] | None = None
        self.again = False
        self.closed = False

    def wake(self) -> None:
        """Send a message soon, without waiting for it; none any more once it is closed."""
        if self.closed:
            return
        if self.sending is not None and not self.sending.done():
            self.again = True
        else:
            self.sending = asyncio.create_task(self.announce())

    async def announce(self) -> None:
        """Send a message, and another one if there was more news meanwhile; the relay's poll replaces a lost one."""
        try:
            await self.client.publish(CHANNEL, b"")
            while self.again:
                self.again = False
                await self.client.publish(CHANNEL, b"")
        except (RedisError, OSError) as error:
            log.warning("wake_up_lost", error=type(error).__name__)

    async def close(self) -> None:
        """Close the connections."""
        self.closed = True
        if self.sending is not None:
            await asyncio.wait({self.sending}, timeout=PATIENCE)
        await self.client.aclose()


async def listen(url: str, wake: Callable[[], None], *, pause: float = 1.0) -> None:
    """Call `wake` for each message, until cancelled; a broker that is away is asked again."""
    while True:
        client = redis.asyncio.Redis.from_url(url, socket_connect_timeout=PATIENCE, health_check_interval=10)
        try:
            async with client, client.pubsub() as subscription:
                await subscription.subscribe(CHANNEL)
                wake()
                async for _ in subscription.listen():
                    wake()
        except (RedisError, OSError) as error:
            log.warning("broker_away", error=type(error).__name__)
        await asyncio.sleep(pause)


class SealedWorker(AsyncWorker):
    """An RQ worker that runs entries of our outbox and nothing else, whatever else it finds in Redis."""

    def __init__(self, *args: Any, runner: Runner, seals: Seals, **options: Any) -> None:
        super().__init__(
            *args,
            serializer=JSONSerializer,
            callbacks=False,
            webhooks=False,
            job_monitoring_interval=BEAT,
            margin=MARGIN,
            **options,
        )
        self.runner, self.seals = runner, seals

    def resolve(self, job: Job) -> Callable[[], Any]:
        """Return what runs a job: the runner for an entry that we sent, a refusal for everything else."""
        try:
            return partial(self.runner.run, *self.seals.open(data_of(job)))
        except SealBrokenError as error:
            return partial(refuse, self.runner.work, job, error)


async def refuse(work: UnitOfWork, job: Job, error: SealBrokenError) -> None:
    """Keep a forged job as a dead letter of the system tenant, audit it, and raise the reason."""
    log.error("job_refused", job_id=job.id, reason=str(error))
    async with work.begin(tenant_id=SYSTEM_TENANT_ID) as ctx:
        if await Outbox(ctx).refused_lately() < REFUSED_AN_HOUR:
            await keep_refused(ctx, job, error)
    raise error


def data_of(job: Job) -> bytes:
    """Return what a job carries; RQ raises for one without, and would then look for a function's name."""
    try:
        return bytes(job.data)
    except (TypeError, ValueError):
        return b""


def plain(text: str) -> str:
    """Return a stranger's text so that it can be stored."""
    return text.replace("\0", "")[:LONGEST_EXCERPT]


async def keep_refused(ctx: Context, job: Job, error: SealBrokenError) -> None:
    """Write the dead letter and its row in the audit."""
    excerpt, job_id = redact(plain(data_of(job)[:LONGEST_EXCERPT].decode("ascii", "backslashreplace"))), plain(job.id)
    letter = OutboxEntry(
        id=uuid7(),
        kind=Kind.refused,
        name="refused job",
        queue=plain(job.origin),
        status=Status.dead,
        payload={"job_id": job_id, "data": excerpt},
        error=f"refused: {error}",
        max_attempts=0,
        finished_at=utcnow(),
    )
    await Outbox(ctx).add([letter])
    await ctx.emit(JobRefused(object_id=letter.id, outcome="denied", after={"job_id": job_id}))
