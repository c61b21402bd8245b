"""Finds what a worker that died left behind, and keeps RQ's registries in order, from any thread."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import redis.exceptions
from rq import worker_registration
from rq.callbacks import execute_failure_callback
from rq.exceptions import AbandonedJobError
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.job_lifecycle import call_exception_handlers, record_job_failure
from rq.queue import Queue
from rq.rate_limit import RateLimitRegistry, release_slot
from rq.registry import DeferredJobRegistry, FailedJobRegistry, FinishedJobRegistry, ReadyJobRegistry
from rq.utils import as_text, current_timestamp, decode_redis_hash, now, parse_composite_key
from rq.worker import BaseWorker

from app.rqworker.finishing import RAISED, Finisher
from app.rqworker.running import Running

log = logging.getLogger("rq.worker")

Restore = Callable[[str, Mapping[str, bytes]], Job]

CLAIM = """
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not score or tonumber(score) > tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], 'XX', ARGV[3], ARGV[1])
return 1
"""
"""Keeps an execution for one recovery alone: it looks alive to the others until its time is over."""

MARGIN = 10
"""Seconds that a recovery has beside the failure callback; should it die, another one begins anew then."""


class Recovery:
    """Looks after a worker's queues. RQ's own cleaning follows callback names and needs SIGALRM in the main thread."""

    def __init__(
        self,
        worker: BaseWorker,
        running: Mapping[str, Running],
        restore: Restore,
        finisher: Finisher,
    ) -> None:
        self._worker = worker
        self._running = running
        self._restore = restore
        self._finisher = finisher

    def clean(self) -> None:
        """Do what RQ does in its maintenance, one worker at a time for each queue."""
        worker = self._worker
        for queue in worker.queues:
            if not queue.acquire_maintenance_lock():
                continue
            log.info("Worker %s: cleaning registries for queue: %s", worker.name, queue.name)
            try:
                self.abandoned(queue)
                for kind in (FinishedJobRegistry, FailedJobRegistry, DeferredJobRegistry, ReadyJobRegistry):
                    kind(queue.name, queue.connection, worker.job_class, serializer=queue.serializer).cleanup()
                for limited in RateLimitRegistry.all(queue.connection):
                    limited.cleanup()
                worker_registration.clean_worker_registry(queue)
                queue.intermediate_queue.cleanup(worker, queue)
            finally:
                queue.release_maintenance_lock()

    def abandoned(self, queue: Queue) -> int:
        """Retry or fail each job whose execution nobody keeps alive; return how many there were.

        Safe beside other workers: one of them claims an execution, and then calls back once.
        """
        registry = queue.started_job_registry
        count = 0
        members: list[Any] = self._worker.connection.zrangebyscore(registry.key, 0, current_timestamp())
        for member in members:
            job_id, execution_id = parse_composite_key(as_text(member))
            if execution_id in self._running:
                continue  # it is alive, the heartbeat was late
            try:
                count += self._abandoned(queue, registry.key, job_id, execution_id)
            except redis.exceptions.WatchError:
                continue
        return count

    def _abandoned(self, queue: Queue, wip: str, job_id: str, execution_id: str) -> int:
        job = self._claim(wip, job_id, execution_id)
        if job is None:
            return 0
        self._tell(job)
        connection = self._worker.connection
        text = f"Moved to {FailedJobRegistry.__name__}, due to {AbandonedJobError.__name__}, at {now()}"
        with connection.pipeline() as pipe:
            pipe.watch(job.key)
            if not self._is_lost(wip, job_id, execution_id):
                return 0
            pipe.multi()
            retried = job.should_retry
            if retried:
                job.retry(queue, pipe)
            else:
                record_job_failure(job, text, pipe)
            Execution(execution_id, job_id, connection, job.worker_name or "").delete(job, pipe)
            pipe.zrem(wip, f"{job_id}:{execution_id}")
            pipe.execute()
        log.warning("Worker %s: job %s was abandoned; %s", self._worker.name, job_id, "again" if retried else text)
        if not retried:
            job.send_webhooks(JobStatus.FAILED, exc_string=text)
            origins = self._finisher.origins(job)
            queue.enqueue_dependents(job, refresh_job_status=False)
            self._finisher.put_on_queue(origins)
        release_slot(job)
        return 1

    def _claim(self, wip: str, job_id: str, execution_id: str) -> Job | None:
        """Return the job of an execution that is lost and ours to settle now; what is over is only taken off."""
        connection, composite = self._worker.connection, f"{job_id}:{execution_id}"
        score = connection.zscore(wip, composite)
        if score is None or score > current_timestamp():
            return None
        if not self._is_lost(wip, job_id, execution_id):
            connection.zrem(wip, composite)
            return None
        raw: dict[str, Any] = decode_redis_hash(connection.hgetall(self._worker.job_class.key_for(job_id)))
        job = self._restore(job_id, raw)
        moment = current_timestamp()
        until = moment + job.failure_callback_timeout + MARGIN
        claimed = connection.eval(CLAIM, 1, wip, composite, str(moment), str(until))
        return job if claimed else None

    def _is_lost(self, wip: str, job_id: str, execution_id: str) -> bool:
        """Tell whether a job counts as started, and by no other execution that is alive."""
        status = self._worker.connection.hget(self._worker.job_class.key_for(job_id), "status")
        return status == JobStatus.STARTED.value.encode() and not self._runs_elsewhere(wip, job_id, execution_id)

    def _runs_elsewhere(self, wip: str, job_id: str, execution_id: str) -> bool:
        """Tell whether another execution of the job is alive: it was started again meanwhile."""
        connection = self._worker.connection
        others: list[Any] = connection.zrange(Job(job_id, connection).execution_registry.key, 0, -1)
        for other in others:
            score = connection.zscore(wip, f"{job_id}:{as_text(other)}")
            if as_text(other) != execution_id and score is not None and score > current_timestamp():
                return True
        return False

    def _tell(self, job: Job) -> None:
        """Run the failure callback and the exception handlers; what they raise is only logged, as in RQ."""
        error = AbandonedJobError()
        try:
            execute_failure_callback(job, self._worker.death_penalty_class, AbandonedJobError, error, None)
        except RAISED:
            log.exception("Job %s was abandoned; its failure callback raised", job.id)
        call_exception_handlers(self._worker._exc_handlers, job, AbandonedJobError, error, None)
