"""Waits for jobs without taking any: a queue's first id is moved from its head to its head, which blocks while empty.

So an idle worker hears of a job at once, and nothing can be lost between Redis and a worker that dies, is stopped or
has no room. Each queue has a connection of its own: one command waits for one list.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable

import redis.asyncio
import redis.exceptions
from rq.queue import Queue

from app.rqworker.clients import OUTAGES, ended

TURN = 30
"""Seconds that one command waits; a connection that died silently is noticed at the end of a turn."""

log = logging.getLogger("rq.worker")


class Peeks:
    """One waiting task for each queue, while the worker has nothing else to do."""

    def __init__(self, client: "redis.asyncio.Redis", found: Callable[[], None]) -> None:
        self._client = client
        self._found = found
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def arm(self, queues: Iterable[Queue]) -> None:
        """Wait for each queue that is not waited for; `found` is called when one has a job."""
        for queue in queues:
            if queue.key not in self._tasks:
                self._tasks[queue.key] = asyncio.get_running_loop().create_task(self._wait(queue.key))

    async def close(self) -> None:
        """Wait no more; the connections are dropped, no id with them."""
        await ended(self._tasks.values())

    async def _wait(self, key: str) -> None:
        pause = 0.1
        try:
            while True:
                try:
                    if await self._client.blmove(key, key, TURN, "LEFT", "LEFT") is not None:
                        break
                    pause = 0.1
                except OUTAGES as error:
                    log.debug("Waiting for %s: Redis is away: %s", key, error)
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, 2.0)
        except redis.exceptions.RedisError:
            log.exception("Redis does not let this worker wait for %s; it looks every second", key)
            await asyncio.sleep(1)
        finally:
            self._tasks.pop(key, None)
        self._found()
