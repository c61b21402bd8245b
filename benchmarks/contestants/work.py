"""The functions that every contestant runs, and how one is measured."""

import asyncio
import json
import resource
import time
from pathlib import Path

PAGE = resource.getpagesize()


async def noop() -> int:
    """Do nothing, and return something that is kept."""
    return 1


async def nap() -> int:
    """Sleep for 50 ms."""
    await asyncio.sleep(0.05)
    return 1


FUNCTIONS = {"noop": noop, "nap": nap}


def resident() -> int:
    """Return how much memory this process holds, in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE // 1_000_000


class Watch:
    """Measures from its start to `tell`."""

    def __init__(self) -> None:
        self.begun = time.perf_counter()

    def tell(self, **more: object) -> None:
        """Print what was measured, for the parent."""
        print(json.dumps({"seconds": time.perf_counter() - self.begun, "rss": resident(), **more}), flush=True)
