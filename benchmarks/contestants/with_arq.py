"""Arq: `with_arq.py PORT KIND COUNT`; results are kept, the queue is looked at every 10 ms."""

import asyncio
import sys
from typing import Any

import work
from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker, func

port, kind, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
SETTINGS = RedisSettings(port=port)


async def job(ctx: dict[str, Any]) -> int:
    """Run the function that is measured."""
    return await work.FUNCTIONS[kind]()


async def main() -> None:
    """Put the jobs on the queue and work until it is empty."""
    pool = await create_pool(SETTINGS)
    for _ in range(count):
        await pool.enqueue_job("job")
    worker = Worker(
        functions=[func(job, name="job")],
        redis_settings=SETTINGS,
        burst=True,
        max_jobs=100,
        poll_delay=0.01,
        handle_signals=False,
    )
    watch = work.Watch()
    await worker.async_run()
    watch.tell(done=worker.jobs_complete)
    await worker.close()
    await pool.aclose()


asyncio.run(main())
