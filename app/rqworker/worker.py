"""An RQ worker that runs many jobs at once on one event loop, and keeps RQ's life cycle in Redis."""

import asyncio
import contextlib
import functools
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import redis.asyncio
from rq.defaults import DEFAULT_LOGGING_DATE_FORMAT, DEFAULT_LOGGING_FORMAT
from rq.executions import Execution
from rq.job import Job
from rq.logutils import setup_loghandlers
from rq.queue import Queue
from rq.timeouts import BaseDeathPenalty
from rq.utils import now
from rq.worker import DequeueStrategy, WorkerStatus

from app.rqworker import saving
from app.rqworker.calls import Calls
from app.rqworker.clients import OUTAGES, PATIENCE, ended, on_the_loop
from app.rqworker.control import ControlledWorker
from app.rqworker.exchange import Exchange, Plan
from app.rqworker.finishing import Finisher, stopping
from app.rqworker.heartbeats import Heartbeats, Pulse
from app.rqworker.listening import listen
from app.rqworker.reading import read
from app.rqworker.recovery import Recovery
from app.rqworker.running import Ended
from app.rqworker.scheduling import SchedulerThread
from app.rqworker.threads import ThreadDeathPenalty

CALLBACK_FIELDS = ("success_callback_name", "failure_callback_name", "stopped_callback_name")


class AsyncWorker(ControlledWorker):
    """Runs up to `max_concurrency` jobs at once: coroutine functions on one loop, plain functions in threads.

    Takes RQ's arguments, and these. `max_concurrency`. `patience`: seconds that a function has to end after it was told
    to. `margin`: seconds that an execution outlives its next heartbeat. `blocked_after`: seconds after which a blocked
    loop is reported. `callbacks`, `webhooks`: False when names and addresses in a job are not to be followed. `client`:
    a Redis client for the loop, where none can be made of `connection` (Sentinel).

    `rq worker -w app.rqworker.AsyncWorker` runs it, `work()` does what RQ's own does, and `work_async()` works on a
    loop that is there already.
    """

    death_penalty_class: type[BaseDeathPenalty] = ThreadDeathPenalty

    def __init__(  # noqa: PLR0913 - settings of a worker, each with a name
        self,
        *args: Any,
        max_concurrency: int = 100,
        patience: float = 5.0,
        margin: int = 60,
        blocked_after: float = 1.0,
        callbacks: bool = True,
        webhooks: bool = True,
        client: "redis.asyncio.Redis | None" = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.max_concurrency = max_concurrency
        self.patience = patience
        self.margin = margin
        self.blocked_after = blocked_after
        self.callbacks = callbacks
        self.webhooks = webhooks
        self._client = client
        self._finisher: Finisher | None = None
        self._scheduler_thread: SchedulerThread | None = None

    # ------------------------------------------------------------ what a subclass may replace

    def resolve(self, job: Job) -> Callable[[], Any]:
        """Return the call of a job, without arguments: a coroutine function or a plain function.

        This one follows RQ: the function is imported by its name, arguments come out of the serializer. It runs on the
        loop. What it raises is the job's failure.
        """
        kind = type(job)
        if kind.perform is not Job.perform or kind._execute is not Job._execute:
            return job.perform
        function = job.func
        if function is None:
            raise ValueError("Cannot execute job: function is None")
        return functools.partial(function, *job.args, **job.kwargs)

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Open what belongs to the loop and lasts as long as the worker: an engine, a client."""
        yield

    def restore(self, job_id: str, raw: Mapping[str, bytes]) -> Job:
        """Make a job of its hash, without the callbacks and webhooks that this worker does not follow."""
        fields = dict(raw)
        for name in () if self.callbacks else CALLBACK_FIELDS:
            fields.pop(name, None)
        if not self.webhooks:
            fields.pop("webhooks", None)
        return read(self.job_class(job_id, connection=self.connection), fields, self)

    # ------------------------------------------------------------ working

    def work(  # noqa: PLR0913, PLR0917 - RQ's signature
        self,
        burst: bool = False,  # noqa: FBT001, FBT002 - RQ's signature
        logging_level: str | None = None,
        date_format: str = DEFAULT_LOGGING_DATE_FORMAT,
        log_format: str = DEFAULT_LOGGING_FORMAT,
        max_jobs: int | None = None,
        max_idle_time: int | None = None,
        with_scheduler: bool = False,  # noqa: FBT001, FBT002 - RQ's signature
        dequeue_strategy: DequeueStrategy = DequeueStrategy.DEFAULT,
    ) -> bool:
        """Work on a loop of its own until a signal, a command or the end of a burst; tell whether any job was taken."""
        with asyncio.Runner() as runner:
            worked = runner.run(
                self.work_async(
                    burst=burst,
                    logging_level=logging_level,
                    date_format=date_format,
                    log_format=log_format,
                    max_jobs=max_jobs,
                    max_idle_time=max_idle_time,
                    with_scheduler=with_scheduler,
                    dequeue_strategy=dequeue_strategy,
                    install_signals=threading.current_thread() is threading.main_thread(),
                )
            )
        if self._cold:
            raise SystemExit
        return worked

    async def work_async(  # noqa: PLR0913 - RQ's arguments
        self,
        burst: bool = False,  # noqa: FBT001, FBT002 - as in `work`
        *,
        logging_level: str | None = None,
        date_format: str = DEFAULT_LOGGING_DATE_FORMAT,
        log_format: str = DEFAULT_LOGGING_FORMAT,
        max_jobs: int | None = None,
        max_idle_time: float | None = None,
        with_scheduler: bool = False,
        dequeue_strategy: DequeueStrategy = DequeueStrategy.DEFAULT,
        install_signals: bool = False,
    ) -> bool:
        """Work on the running loop until `stop`; tell whether any job was taken. Cancelling it is a cold stop."""
        self._prepare(dequeue_strategy)
        exchange, calls, finisher = self._parts()
        heartbeats = Heartbeats(self, exchange.running)
        loop = asyncio.get_running_loop()
        recovery = Recovery(self, exchange.running, self.restore, finisher)
        await asyncio.to_thread(self.bootstrap, logging_level, date_format, log_format)
        heard = asyncio.Event()
        listening = loop.create_task(listen(self._loop_client, self.pubsub_channel_name, self.handle_payload, heard))
        pulse = Pulse(
            self,
            loop,
            heartbeats,
            after=functools.partial(self._after_beat, recovery),
            blocked_after=self.blocked_after,
        )
        signals = self._install(loop) if install_signals else ()
        beside = [listening]
        try:
            if with_scheduler:
                await asyncio.to_thread(self._start_scheduler, burst)
            await self._tidy()
            # Who sees an idle worker may send it a command at once.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.patience):
                    await heard.wait()
            await asyncio.to_thread(self.set_state, WorkerStatus.IDLE)
            beside.append(loop.create_task(self._maintain(), name="rq maintenance"))
            pulse.start()
            async with self.lifespan():
                return await self._serve(exchange, calls, Plan(burst, max_jobs, max_idle_time))
        finally:
            pulse.halt()
            for number in signals:
                loop.remove_signal_handler(number)
            await asyncio.shield(self._leave(beside, calls, finisher))

    async def _serve(self, exchange: Exchange, calls: Calls, plan: Plan) -> bool:
        """Serve; when this task is cancelled, end what runs, save that, and be cancelled then."""
        serving = asyncio.ensure_future(exchange.serve(calls, plan))
        try:
            return await asyncio.shield(serving)
        except asyncio.CancelledError:
            self.request_stop(cold=True)
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(serving)
            raise

    def _prepare(self, dequeue_strategy: DequeueStrategy) -> None:
        self._loop = asyncio.get_running_loop()
        self._left = asyncio.Event()
        self._stop_requested, self._cold, self._noted = False, False, None
        self._dequeue_strategy = dequeue_strategy
        self.reorder_queues(self.queues[0] if self.queues else Queue("default", connection=self.connection))
        self._ordered_queues = self.queues[:]

    def _parts(self) -> tuple[Exchange, Calls, Finisher]:
        client = self._client or on_the_loop(self.connection)
        self._exchange = exchange = Exchange(self, self, client, self.max_concurrency, self.margin)
        self._calls = calls = Calls(self.resolve, saving.encode, exchange.report, self.patience)
        self._finisher = finisher = Finisher(self)
        self._loop_client = client
        return exchange, calls, finisher

    def bootstrap(
        self,
        logging_level: str | None = "INFO",
        date_format: str = DEFAULT_LOGGING_DATE_FORMAT,
        log_format: str = DEFAULT_LOGGING_FORMAT,
    ) -> None:
        """Set the loggers up and register the birth. Commands are heard on the loop, not by RQ's thread."""
        for name in ("rq.worker", "rq.job"):
            setup_loghandlers(logging_level, date_format, log_format, name=name)
        self.register_birth()
        self.log.info("Worker %s: started with PID %s, version %s", self.name, self.pid, self.version)
        self.set_state(WorkerStatus.STARTED)
        self.get_redis_server_version()
        self.log.info("*** Listening on %s...", ", ".join(self.queue_names()))

    async def _leave(self, beside: "list[asyncio.Task[None]]", calls: Calls, finisher: Finisher) -> None:
        await ended(beside)
        if self._noted is not None:
            await self._noted
        try:
            await asyncio.to_thread(self.teardown)
        except OUTAGES as error:
            self.log.error("Worker %s: leaves unseen, Redis is away: %s", self.name, error)  # noqa: TRY400
        calls.threads.close()
        finisher.close()
        if self._client is None:
            await ended([asyncio.ensure_future(self._loop_client.aclose())], cancel=False)
        if calls.abandoned:
            self.log.critical("Worker %s: %d abandoned jobs still run", self.name, len(calls.abandoned))
        if self._left is not None:
            self._left.set()

    def teardown(self) -> None:
        """Give back the scheduler's locks, register the death, listen no more."""
        if self._scheduler_thread is not None:
            self._scheduler_thread.halt()
            self._scheduler_thread.join(5)
            self._scheduler_thread = None
        super().teardown()  # type: ignore[no-untyped-call] # RQ's has no types

    # ------------------------------------------------------------ maintenance

    def clean_registries(self) -> None:
        """Recover abandoned jobs and keep the registries in order."""
        running = self._exchange.running if self._exchange is not None else {}
        finisher = self._finisher or Finisher(self)
        Recovery(self, running, self.restore, finisher).clean()
        self.last_cleaned_at = now()  # type: ignore[assignment] # RQ declares it without its type

    def run_maintenance_tasks(self) -> None:
        """Clean the registries of queues and groups."""
        self.clean_registries()
        self.clean_group_registries()

    async def _maintain(self) -> None:
        while True:
            await asyncio.sleep(max(1, self.maintenance_interval))
            await self._tidy()

    async def _tidy(self) -> None:
        """Run the maintenance if it is due; what fails now is done the next time."""
        try:
            if self.should_run_maintenance_tasks:
                await asyncio.to_thread(self.run_maintenance_tasks)
        except Exception:
            self.log.exception("Worker %s: maintenance failed", self.name)

    def _after_beat(self, recovery: Recovery, strangers: bool) -> None:  # noqa: FBT001 - the beat's answer
        """Look for abandoned jobs after each heartbeat: they come back when the lease ends, not in ten minutes."""
        if strangers and self._exchange is not None:
            self._on_loop(self._exchange.look_for_lost)
        for queue in self.queues:
            recovery.abandoned(queue)
        if self._finisher is not None:
            self._finisher.put_on_queue(self.queue_names())

    def _start_scheduler(self, burst: bool = False, *_: Any, **__: Any) -> None:  # noqa: FBT001, FBT002 - RQ's
        thread = SchedulerThread(self)
        self.scheduler = thread.scheduler
        if burst:
            thread.once()
        else:
            self._scheduler_thread = thread
            thread.start()

    # ------------------------------------------------------------ one job

    def entry(self, ended: Ended) -> saving.Entry | None:
        """Return what to write at an end, or None when that needs RQ's own way."""
        job, error = ended.item.job, ended.error
        if error is None:
            return saving.success(ended, self.name, self.default_result_ttl)
        if self.disable_default_exception_handler or self._exc_handlers:
            return None
        found = saving.failure(ended, self.name, error)
        if found is not None:
            ended.item.logged = True
            self.handle_exception(job, type(error), error, error.__traceback__)
        return found

    async def finish(self, ended: Ended) -> None:
        """End an execution in RQ's own way."""
        if self._finisher is not None:
            await self._finisher.finish(ended)

    @property
    def connection_timeout(self) -> int:
        """Seconds that a blocking connection waits for an answer; none of them waits for jobs."""
        return PATIENCE

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:
        """Return how many seconds an execution lives without a heartbeat."""
        interval = float(self.job_monitoring_interval)
        if job.timeout and job.timeout > 0:
            interval = min(job.timeout - working_time, interval)
        return int(interval) + self.margin

    def handle_job_failure(
        self,
        job: Job,
        queue: Queue,
        started_job_registry: Any = None,
        exc_string: str = "",
        execution: Execution | None = None,
    ) -> None:
        """Record a failure as RQ does, without webhooks when they are off."""
        if not self.webhooks:
            job.webhooks = []
        super().handle_job_failure(job, queue, started_job_registry, exc_string, execution)

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Run one job here and now, as RQ's SimpleWorker does; `work` does not come this way."""
        execution = self.prepare_execution(job)
        self.perform_job(job, queue, execution)
        self.set_state(WorkerStatus.IDLE)

    @property
    def _stopped_job_id(self) -> str | None:
        return stopping.get()

    @_stopped_job_id.setter
    def _stopped_job_id(self, job_id: str | None) -> None:
        stopping.set(job_id)
