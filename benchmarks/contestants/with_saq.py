"""Saq: `with_saq.py PORT KIND COUNT`; results are kept."""

import asyncio
import logging
import sys
from typing import Any

import work
from saq import Queue, Worker

logging.getLogger("saq").setLevel(logging.WARNING)
port, kind, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])


async def job(ctx: dict[str, Any]) -> int:
    """Run the function that is measured."""
    return await work.FUNCTIONS[kind]()


async def main() -> None:
    """Put the jobs on the queue and work until the last one is saved."""
    queue = Queue.from_url(f"redis://127.0.0.1:{port}", name="bench")
    await queue.connect()
    for _ in range(count):
        await queue.enqueue("job", timeout=180)
    done, finished = 0, asyncio.Event()

    async def after(ctx: dict[str, Any]) -> None:
        nonlocal done
        done += 1
        if done == count:
            finished.set()

    worker = Worker(queue, functions=[("job", job)], concurrency=100, after_process=after)
    watch = work.Watch()
    serving = asyncio.create_task(worker.start())
    await finished.wait()
    watch.tell(done=done)
    await worker.stop()
    serving.cancel()
    await queue.disconnect()


asyncio.run(main())
