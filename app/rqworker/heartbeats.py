"""A thread of its own keeps what runs alive in Redis and watches the event loop, whatever a job does to that."""

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from rq.utils import now, utcformat
from rq.worker import BaseWorker

from app.rqworker import wire
from app.rqworker.clients import OUTAGES
from app.rqworker.running import Running
from app.rqworker.scripts import BEAT

log = logging.getLogger("rq.worker")


class Heartbeats:
    """Extends the leases of what runs; what was saved meanwhile is never brought to life again (`scripts`)."""

    def __init__(self, worker: BaseWorker, running: Mapping[str, Running]) -> None:
        self._worker = worker
        self._running = running
        self._script = worker.connection.register_script(BEAT)

    def beat(self) -> bool:
        """Send one heartbeat for everything; tell whether Redis counts executions that this worker does not run."""
        worker = self._worker
        items = [item for item in list(self._running.values()) if not item.abandoned]
        at = now()
        lease = worker.job_monitoring_interval + 60 if items else worker.worker_ttl + 60
        request = {
            "worker": wire.from_text(worker.name),
            "jobs": worker.job_class.redis_job_namespace_prefix,
            "now": utcformat(at),
            "stamp": repr(at.timestamp()),
            "time": int(at.timestamp()),
            "lease": lease,
            "running": [self._lease(item) for item in items],
        }
        alive, held = self._script(args=[wire.dumps(request)])
        worker.last_heartbeat = at
        if not alive:
            with worker.connection.pipeline() as pipe:
                pipe.hset(worker.key, mapping=worker.serialize())
                pipe.expire(worker.key, lease)
                pipe.execute()
        return int(held) > len(items)

    def _lease(self, item: Running) -> dict[str, Any]:
        worked = (now() - item.execution.created_at).total_seconds()
        return {
            "job": item.job.id,
            "execution": item.id,
            "origin": wire.from_text(item.origin),
            # Past its timeout a job's lease shrinks: what a blocked loop holds is found abandoned a minute later.
            "lease": int(self._worker.get_heartbeat_ttl(item.job, working_time=worked)),
        }


class Pulse(threading.Thread):
    """Sends heartbeats in their interval, and tells when the loop does not answer, and whose fault that is."""

    def __init__(
        self,
        worker: BaseWorker,
        loop: asyncio.AbstractEventLoop,
        beats: Heartbeats,
        *,
        after: Callable[[bool], None],
        blocked_after: float,
    ) -> None:
        super().__init__(name="rq-heartbeat", daemon=True)
        self._worker = worker
        self._loop = loop
        self._loop_thread = threading.get_ident()
        self._beats = beats
        self._after = after
        self._blocked_after = blocked_after
        self._halt = threading.Event()
        self._asked: float | None = None
        self._reported = False

    def halt(self) -> None:
        """Ask the thread to end, at once."""
        self._halt.set()

    def run(self) -> None:
        """Beat and watch until told to end."""
        due = time.monotonic()
        while not self._halt.wait(self._blocked_after / 2):
            self._watch()
            if time.monotonic() - due >= self._worker.job_monitoring_interval:
                due = time.monotonic()
                try:
                    self._after(self._beats.beat())
                except OUTAGES as error:
                    log.error("Worker %s: no heartbeat, Redis is away: %s", self._worker.name, error)  # noqa: TRY400
                except Exception:
                    log.exception("Worker %s: no heartbeat", self._worker.name)

    def _watch(self) -> None:
        """Ask the loop for a sign of life, or count how long it owes one."""
        if self._asked is None:
            self._asked, self._reported = time.monotonic(), False
            try:
                self._loop.call_soon_threadsafe(self._answer)
            except RuntimeError:  # closed
                self._halt.set()
            return
        seconds = time.monotonic() - self._asked
        if seconds >= self._blocked_after and not self._reported:
            self._reported = True
            task = asyncio.current_task(self._loop)
            frame = sys._current_frames().get(self._loop_thread)
            place = "".join(traceback.format_stack(frame)[-1:]).strip() if frame else "unknown"
            log.warning(
                "Worker %s: job %s has blocked the event loop for %.1f s, and every other job with it; it is at: %s",
                self._worker.name,
                task.get_name() if task is not None else "(none)",
                seconds,
                place,
            )

    def _answer(self) -> None:
        asked, self._asked = self._asked, None
        if self._reported and asked is not None:
            log.warning(
                "Worker %s: the event loop runs again after %.1f s", self._worker.name, time.monotonic() - asked
            )
