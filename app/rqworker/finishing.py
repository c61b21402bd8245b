"""What ends otherwise than plainly goes RQ's own way, in threads: callbacks, retries, repeats, dependents, webhooks."""

import asyncio
import contextvars
import inspect
import logging
import random
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from rq.callbacks import execute_failure_callback, execute_stopped_callback, execute_success_callback
from rq.job import Job, JobStatus, Retry
from rq.registry import ReadyJobRegistry
from rq.utils import as_text, now
from rq.worker import BaseWorker

from app.rqworker.clients import OUTAGES
from app.rqworker.running import Ended, Running
from app.rqworker.saving import error_text
from app.rqworker.threads import perform

THREADS = 8
"""Jobs that go RQ's own way at once; each takes a connection of the worker's pool."""
CONTESTED = 50
"""How often dependents are put on their queue again after another process was at their registry, too."""

RAISED = (Exception, SystemExit, KeyboardInterrupt)
"""What a callback may raise; not the cancellation of the task that waits for it."""

stopping: contextvars.ContextVar[str | None] = contextvars.ContextVar("rqworker_stopping", default=None)
"""The job whose failure RQ records as stopped. RQ keeps one for its one job; here each execution has its own."""

log = logging.getLogger("rq.worker")


class Finisher:
    """Ends executions by RQ's own methods, and waits for a Redis that is away.

    A callback runs once: it is a step of its own, and only the step that met the outage is done again.
    """

    def __init__(self, worker: BaseWorker) -> None:
        self._worker = worker
        self._pool = ThreadPoolExecutor(THREADS, "rq-finish")
        self._ready = threading.Lock()

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown(wait=False)

    async def finish(self, ended: Ended) -> None:
        """Bring an execution to its end, whichever it is."""
        item = ended.item
        item.job._result = ended.value
        if item.stopped:
            await self._stopped(item)
            return
        if ended.error is None:
            try:
                await self._succeeded(item, ended.value)
                return
            except RAISED as error:  # a callback that raises fails the job, as in RQ
                ended.error = error
        await self._failed(item, ended.error)

    async def _succeeded(self, item: Running, value: Any) -> None:
        job, worker = item.job, self._worker
        await self.run(worker.handle_execution_ended, job, item.queue, job.success_callback_timeout)
        if isinstance(value, Retry):
            await self.run(
                worker.handle_job_retry, job, item.queue, value, item.queue.started_job_registry, item.execution
            )
            return
        job._status = JobStatus.FINISHED
        callback = job.success_callback if job._success_callback_name else None
        if callback is not None and inspect.iscoroutinefunction(callback):
            async with asyncio.timeout(job.success_callback_timeout):
                await callback(job, job.connection, value)
        elif callback is not None:
            await self._once(execute_success_callback, job, worker.death_penalty_class, value)
        await self.run(self._save_success, item)
        await self.run(job.send_webhooks, JobStatus.FINISHED)
        log.info("Worker %s: %s: Job OK (%s)", worker.name, job.origin, job.id)

    async def _failed(self, item: Running, error: BaseException) -> None:
        job, worker = item.job, self._worker
        job._status = JobStatus.FAILED
        await self.run(worker.handle_execution_ended, job, item.queue, job.failure_callback_timeout)
        try:
            callback = job.failure_callback if job._failure_callback_name else None
            if callback is not None and inspect.iscoroutinefunction(callback):
                async with asyncio.timeout(job.failure_callback_timeout):
                    await callback(job, job.connection, type(error), error, error.__traceback__)
            elif callback is not None:
                trace = (type(error), error, error.__traceback__)
                await self._once(execute_failure_callback, job, worker.death_penalty_class, *trace)
        except RAISED as raised:  # it replaces the job's own error, as in RQ
            error = raised
        if not item.logged:
            await self._once(worker.handle_exception, job, type(error), error, error.__traceback__)
        await self.run(self._save_failure, item, error_text(error))

    async def _stopped(self, item: Running) -> None:
        job, worker = item.job, self._worker
        job.ended_at = now()
        log.warning("Worker %s: job %s stopped by user, moving job to FailedJobRegistry", worker.name, job.id)
        try:
            callback = job.stopped_callback if job._stopped_callback_name else None
            if callback is not None and inspect.iscoroutinefunction(callback):
                async with asyncio.timeout(job.stopped_callback_timeout):
                    await callback(job, job.connection)
            elif callback is not None:
                await self._once(execute_stopped_callback, job, worker.death_penalty_class)
        except RAISED:
            log.exception("Worker %s: the stopped callback of job %s raised", worker.name, job.id)
        await self.run(self._save_failure, item, "Job stopped by user.")

    def _save_success(self, item: Running) -> None:
        origins = self.origins(item.job)
        self._worker.handle_job_success(item.job, item.queue, item.queue.started_job_registry, item.execution)
        self.put_on_queue(origins)

    def _save_failure(self, item: Running, text: str) -> None:
        """Record a failure. RQ only logs what goes wrong then, so look whether it was recorded."""
        job, worker = item.job, self._worker
        left, origins = job.retries_left, self.origins(job)
        while True:
            job.retries_left = left
            stopping.set(job.id if item.stopped else None)
            worker.connection.ping()
            worker.handle_job_failure(job, item.queue, exc_string=text, execution=item.execution)
            if not worker.connection.exists(item.execution.key):
                break
            time.sleep(1)
        self.put_on_queue(origins)

    def put_on_queue(self, names: Iterable[str]) -> None:
        """Put what is ready to be enqueued on these queues.

        RQ 3.0 watches the registry of all ready jobs of a queue and skips a job when another one ends at the same
        moment; the skipped one would wait for maintenance, up to ten minutes. So ask until none is left.
        """
        worker = self._worker
        left = {
            name: ReadyJobRegistry(name, worker.connection, job_class=worker.job_class, serializer=worker.serializer)
            for name in names
        }
        for attempt in range(CONTESTED):
            with worker.connection.pipeline(transaction=False) as pipe:
                for registry in left.values():
                    pipe.zcard(registry.key)
                counts = pipe.execute() if left else []
            left = {name: left[name] for name, count in zip(tuple(left), counts, strict=True) if count}
            if not left:
                return
            for registry in left.values():
                with self._ready:
                    registry.cleanup()
            time.sleep(random.uniform(0, 0.002 * attempt))  # noqa: S311 - two processes shall not stay in step

    def origins(self, job: Job) -> set[str]:
        """Return the queues on which something may become ready when a job ends: its dependents', and our own."""
        connection = self._worker.connection
        dependents = sorted(as_text(found) for found in connection.smembers(job.dependents_key))
        with connection.pipeline(transaction=False) as pipe:
            for dependent in dependents:
                pipe.hget(job.key_for(dependent), "origin")
            found = pipe.execute() if dependents else []
        return {*self._worker.queue_names(), *(as_text(name) for name in found if name)}

    async def _once(self, step: Callable[..., Any], *arguments: Any) -> Any:
        loop, context = asyncio.get_running_loop(), contextvars.copy_context()
        value, error = await loop.run_in_executor(self._pool, perform, partial(step, *arguments), context)
        if error is not None:
            raise error
        return value

    async def run(self, step: Callable[..., Any], *arguments: Any) -> Any:
        """Do one step of the bookkeeping in a thread, again and again while Redis is away."""
        pause = 0.25
        while True:
            try:
                return await self._once(step, *arguments)
            except OUTAGES as error:
                log.error("Worker %s: Redis is away: %s, again in %.2f s", self._worker.name, error, pause)  # noqa: TRY400
                await asyncio.sleep(pause)
                pause = min(pause * 2, 5.0)
