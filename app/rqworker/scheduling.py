"""RQ's scheduler in a thread: a process that has threads must not fork."""

import logging
import threading

from rq.scheduler import RQScheduler
from rq.worker import BaseWorker

from app.rqworker.clients import OUTAGES

log = logging.getLogger("rq.worker")


class SchedulerThread(threading.Thread):
    """Puts jobs whose time has come on their queues, for the queues whose lock this scheduler holds."""

    def __init__(self, worker: BaseWorker) -> None:
        super().__init__(name="rq-scheduler", daemon=True)
        self.scheduler = RQScheduler(
            worker.queues, connection=worker.connection, logging_level=log.level, serializer=worker.serializer
        )
        self._halt = threading.Event()

    def once(self) -> None:
        """Put on their queues what is due now."""
        self.scheduler.acquire_locks()
        if self.scheduler.acquired_locks:
            self.scheduler.register_birth()
            try:
                self.scheduler.enqueue_scheduled_jobs()
            finally:
                self.scheduler.release_locks()
                self.scheduler.register_death()

    def halt(self) -> None:
        """Ask the thread to give its locks back and end."""
        self._halt.set()

    def run(self) -> None:
        """Look every second, until told to end."""
        registered = False
        while not self._halt.is_set():
            try:
                if not registered:
                    self.scheduler.acquire_locks()
                    self.scheduler.register_birth()
                    registered = True
                elif self.scheduler.should_reacquire_locks:
                    self.scheduler.acquire_locks()
                self.scheduler.heartbeat()
                self.scheduler.enqueue_scheduled_jobs()
            except OUTAGES as error:
                log.error("The scheduler waits, Redis is away: %s", error)  # noqa: TRY400 - no news in the traceback
            except Exception:
                log.exception("The scheduler failed, and goes on")
            self._halt.wait(self.scheduler.interval)
        try:
            self.scheduler.stop()
        except OUTAGES as error:
            log.error("The scheduler's locks expire by themselves, Redis is away: %s", error)  # noqa: TRY400
