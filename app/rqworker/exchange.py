"""The worker's one conversation with Redis: what ended goes there, new jobs come back, in one round trip for many."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import uuid4

import redis.asyncio
import redis.exceptions
from rq.executions import Execution
from rq.job import Job
from rq.queue import Queue
from rq.utils import now, utcformat
from rq.worker import BaseWorker, DequeueStrategy, WorkerStatus

from app.rqworker import wire
from app.rqworker.calls import Calls
from app.rqworker.clients import OUTAGES
from app.rqworker.peeking import Peeks
from app.rqworker.running import Ended, Running
from app.rqworker.saving import Entry, broken, changeable
from app.rqworker.scripts import EXCHANGE

BATCH = 10
"""Most jobs that are taken, or saved, at once: the more, the longer a place that became free waits for its next job."""
SUSPENDED = 1.0
"""Seconds between two looks whether suspended workers may go on."""

log = logging.getLogger("rq.worker")


@dataclass(frozen=True, slots=True)
class Plan:
    """When a worker is done, besides being stopped."""

    burst: bool = False
    max_jobs: int | None = None
    max_idle_time: float | None = None


class Desk(Protocol):
    """What the exchange asks of the worker about one job."""

    def restore(self, job_id: str, raw: Mapping[str, bytes]) -> Job:
        """Make a job of its hash."""

    def entry(self, ended: Ended) -> Entry | None:
        """Return what to write at an end, or None when that needs RQ's own way."""

    async def finish(self, ended: Ended) -> None:
        """End an execution in RQ's own way."""


class Exchange:
    """Takes jobs, starts them, saves what became of them. While one request is under way the next one grows.

    An answer that was lost is no matter: executions of this worker that it does not know of are started when Redis is
    back, and what was saved is not saved again (`scripts`).
    """

    def __init__(self, worker: BaseWorker, desk: Desk, client: "redis.asyncio.Redis", limit: int, margin: int) -> None:
        self.running: dict[str, Running] = {}
        self.stopping = False
        self.give_up: float | None = None
        """When to leave though results are not saved, on the clock of `time.monotonic`."""
        self.admitted = 0
        self.working = 0
        """Executions whose function has not ended: each takes one of `limit` places."""
        self._worker = worker
        self._desk = desk
        self._limit = limit
        self._calls: Calls | None = None
        self._script = client.register_script(EXCHANGE)
        self._peeks = Peeks(client, self.wake)
        self._taken: list[Any] = []
        """Jobs of the last answer that have not begun: they do while Redis works on the next request."""
        self._asking = False
        self._unwanted: dict[str, int] = {}
        """Ids of jobs or executions that are to be stopped when they arrive -> how many answers are looked through."""
        self._done: deque[tuple[Entry, Ended | None]] = deque()
        self._event = asyncio.Event()
        self._finishing: set[asyncio.Task[None]] = set()
        self._left_to_maintenance: list[str] = []
        self._hungry = True
        self._lost = False
        self._suspended = False
        self._state = ""
        self._pause = 0.0
        self._margin = margin

    def wake(self, *, hungry: bool = True) -> None:
        """Look at things again, at the queues too when there may be jobs."""
        self._hungry = self._hungry or hungry
        self._event.set()

    def report(self, ended: Ended) -> None:
        """Take note that an execution ended."""
        self.working -= 1
        try:
            entry = self._desk.entry(ended)
        except Exception:
            log.exception("Job %s: what became of it cannot be written plainly", ended.item.job.id)
            entry = None
        if entry is None:
            self._finish(ended)
        else:
            self._done.append((entry, ended))
        self._event.set()

    def stop_on_arrival(self, wanted: str) -> bool:
        """Have a job, or an execution, stopped as soon as it has begun; tell whether it can be on its way at all.

        In Redis it is this worker's from the moment it was taken, and from then on people may ask to stop it.
        """
        if not self._asking and not self._taken:
            return False
        self._unwanted[wanted] = 2
        return True

    def look_for_lost(self) -> None:
        """Start, with the next request, what Redis says this worker runs and this worker does not know of."""
        self._lost = True

    async def serve(self, calls: Calls, plan: Plan) -> bool:
        """Work until the plan is fulfilled or a stop drained what ran; tell whether any job was taken."""
        self._calls = calls
        idle_since = time.monotonic()
        try:
            while True:
                if self.running or self._taken:
                    idle_since = time.monotonic()
                take = self._room(plan) if self._hungry else 0
                if self._done or take or (self._state == WorkerStatus.BUSY and not self.running and not self._taken):
                    await self._trade(take, plan)
                elif self._taken:
                    self._begin_taken()
                elif self._over(plan, idle_since):
                    return self.admitted > 0
                else:
                    await self._rest(plan, idle_since)
                if self.give_up is not None and time.monotonic() > self.give_up:
                    log.critical("Worker %s: leaves, %d results are not saved", self._worker.name, len(self.running))
                    return self.admitted > 0
        finally:
            for task in self._finishing:
                task.cancel()
            await self._peeks.close()

    # ------------------------------------------------------------ when to do what

    def _room(self, plan: Plan) -> int:
        """Return how many jobs may be taken now. What waits to be saved counts too, beyond a second measure."""
        if self.stopping:
            return 0
        begun = len(self._taken)
        room = min(self._limit - self.working - begun, 2 * self._limit - len(self.running) - begun, BATCH)
        if self._worker._dequeue_strategy == DequeueStrategy.RANDOM:
            room = min(room, 1)
        return max(0, room if plan.max_jobs is None else min(room, plan.max_jobs - self.admitted - begun))

    def _over(self, plan: Plan, idle_since: float) -> bool:
        name = self._worker.name
        if self.running:
            return False
        if self.stopping:
            log.info("Worker %s: stopping on request", name)
        elif plan.max_jobs is not None and self.admitted >= plan.max_jobs:
            log.info("Worker %s: finished executing %d jobs, quitting", name, self.admitted)
        elif plan.burst and not self._hungry:
            log.info("Worker %s: done, quitting", name)
        elif plan.max_idle_time is not None and time.monotonic() - idle_since >= plan.max_idle_time:
            log.info("Worker %s: idle for %d seconds, quitting", name, plan.max_idle_time)
        else:
            return False
        return True

    async def _rest(self, plan: Plan, idle_since: float) -> None:
        """Wait for something to do."""
        wait: float | None = None
        if self._suspended and not self.stopping:
            wait = SUSPENDED
        elif not plan.burst and self._room(plan) and not self._hungry:
            self._peeks.arm(self._worker._ordered_queues)
        if plan.max_idle_time is not None and not self.running:
            left = max(0.0, plan.max_idle_time - (time.monotonic() - idle_since))
            wait = left if wait is None else min(wait, left)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._event.wait()
        self._event.clear()
        if self._suspended or plan.burst:
            self._hungry = True  # looked at again; what ran may have put more on the queues

    # ------------------------------------------------------------ one round trip

    async def _trade(self, take: int, plan: Plan) -> None:
        if self._lost:
            self._begin_taken()
        batch = [self._done[place] for place in range(min(len(self._done), BATCH))]
        asking = asyncio.ensure_future(self._script(args=[wire.dumps(self._request(batch, take))]))
        self._asking = True
        await asyncio.sleep(0)
        self._begin_taken()
        try:
            answer = wire.loads(await asking)
        except OUTAGES as error:
            await self._outage(error)
            return
        except redis.exceptions.RedisError:
            log.exception("Worker %s: Redis refused to take or save jobs", self._worker.name)
            self._apart(batch)
            await asyncio.sleep(1)
            return
        finally:
            self._asking = False
        self._unwanted = {wanted: left - 1 for wanted, left in self._unwanted.items() if left > 1}
        self._pause, self._lost = 0.0, False
        refused = {int(place) for place in answer["refused"]}
        for place, (_, ended) in enumerate(batch):
            self._done.popleft()
            if ended is None:
                continue
            if place in refused:
                self._finish(ended)
            else:
                self._saved(ended)
        self._taken = list(answer["taken"])
        self._state = answer["state"]
        if "last" in answer:
            self._worker.reorder_queues(self._worker._ordered_queues[answer["last"]])
        if take:
            self._hungry = len(self._taken) >= take and not answer["suspended"]
            await self._suspension(suspended=bool(answer["suspended"]), plan=plan)

    def _request(self, batch: list[tuple[Entry, Ended | None]], take: int) -> dict[str, Any]:
        worker, at = self._worker, now()
        request: dict[str, Any] = {
            "worker": wire.from_text(worker.name),
            "jobs": worker.job_class.redis_job_namespace_prefix,
            "done": [entry for entry, _ in batch],
            "take": take,
            "token": uuid4().hex[:24],
            "queues": [{"key": wire.from_text(q.key), "name": wire.from_text(q.name)} for q in worker._ordered_queues],
            "rotate": worker._dequeue_strategy == DequeueStrategy.ROUND_ROBIN,
            "interval": worker.job_monitoring_interval,
            "margin": self._margin,
            "now": utcformat(at),
            "stamp": repr(at.timestamp()),
            "time": int(at.timestamp()),
            "running": len(self.running) + len(self._taken) - sum(ended is not None for _, ended in batch),
            "state": self._state,
        }
        if self._lost:
            held = [item.execution.composite_key for item in self.running.values()]
            request["known"] = [wire.from_text(key) for key in (*held, *self._left_to_maintenance)]
        return request

    async def _outage(self, error: BaseException) -> None:
        """Wait a little longer each time; afterwards look for jobs whose answer was lost."""
        self._lost = True
        self._pause = min(self._pause * 2 or 0.1, 2.0)
        log.error("Worker %s: Redis is away: %s, asking again in %.1f s", self._worker.name, error, self._pause)
        await asyncio.sleep(self._pause)

    def _apart(self, batch: list[tuple[Entry, Ended | None]]) -> None:
        """Save each execution alone: one that Redis does not like must not hold up the others."""
        for _ in batch:
            entry, ended = self._done.popleft()
            if ended is not None:
                self._finish(ended)
            else:
                log.critical("Worker %s: job %s cannot be recorded", self._worker.name, entry["job"])

    async def _suspension(self, *, suspended: bool, plan: Plan) -> None:
        worker = self._worker
        if suspended and plan.burst:
            log.info("Worker %s: suspended in burst mode, exiting", worker.name)
            self.stopping = True
        elif suspended and not self._suspended:
            log.info("Worker %s: suspended, run `rq resume` to resume", worker.name)
        if suspended or self._suspended:
            status = WorkerStatus.SUSPENDED if suspended else WorkerStatus.IDLE
            self._state = "" if suspended else self._state
            worker._state = status
            if suspended:
                with contextlib.suppress(*OUTAGES):
                    await self._script.registered_client.hset(worker.key, "state", status)
        self._suspended = suspended

    # ------------------------------------------------------------ beginnings and ends

    def _begin_taken(self) -> None:
        taken, self._taken = self._taken, []
        for found in taken:
            self._begin(*found)

    def _begin(self, job_id: str, origin: str, execution_id: str, stamp: str, flat: Any) -> None:
        worker = self._worker
        started = datetime.fromtimestamp(float(stamp), UTC)
        self.admitted += 1
        try:
            pairs: Iterator[str] = iter(flat if isinstance(flat, list) else ())  # Lua has one empty table for both
            raw = {name: value.encode("latin-1") for name, value in zip(pairs, pairs, strict=True)}
            job = self._desk.restore(wire.to_text(job_id), raw)
        except Exception as error:
            log.exception("Worker %s: job %s cannot be read", worker.name, job_id)
            self._done.append((broken(job_id, origin, execution_id, started, wire.from_text(worker.name), error), None))
            return
        name = job.origin or wire.to_text(origin)
        queue = self._queue(name)
        execution = Execution(execution_id, job.id, worker.connection, worker.name)
        execution.created_at = job.started_at = started
        execution._job = job
        job.worker_name = worker.name
        job.origin = name
        item = Running(job, queue, name, execution, changeable(job))
        self.running[execution_id] = item
        worker.executions[execution_id] = execution
        self.working += 1
        if log.isEnabledFor(logging.INFO):
            what = job.description if worker.log_job_description else job.id
            log.info("Worker %s: %s: %s (%s)", worker.name, name, what, job.id)
        if self._calls is None:
            raise RuntimeError("jobs are taken only while the worker serves")
        self._calls.start(item)
        if self._unwanted.keys() & {execution_id, job.id}:
            # Its function begins first: what is told to end before has nobody to say that it ended.
            asyncio.get_running_loop().call_soon(self._calls.stop, item)

    def _queue(self, name: str) -> Queue:
        worker = self._worker
        for queue in worker.queues:
            if queue.name == name:
                return queue
        return worker.queue_class(
            name, connection=worker.connection, job_class=worker.job_class, serializer=worker.serializer
        )

    def _finish(self, ended: Ended) -> None:
        """End an execution in RQ's own way, beside the conversation."""
        task = asyncio.get_running_loop().create_task(self._finished(ended), name=f"finish {ended.item.job.id}")
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)

    async def _finished(self, ended: Ended) -> None:
        try:
            await self._desk.finish(ended)
        except Exception:
            # Its execution expires, and maintenance finds it abandoned. It is not started again here.
            self._left_to_maintenance.append(ended.item.execution.composite_key)
            log.exception("Worker %s: job %s cannot be brought to its end", self._worker.name, ended.item.job.id)
        finally:
            self._forget(ended.item)
            self.wake(hungry=False)

    def _saved(self, ended: Ended) -> None:
        item = ended.item
        self._forget(item)
        if log.isEnabledFor(logging.INFO):
            how = "OK" if ended.error is None else "failed"
            took = (item.job.ended_at or now()) - item.execution.created_at
            log.info("Worker %s: %s: Job %s (%s) in %s", self._worker.name, item.origin, how, item.job.id, took)

    def _forget(self, item: Running) -> None:
        self.running.pop(item.id, None)
        self._worker.executions.pop(item.id, None)
