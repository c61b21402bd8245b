"""A process whose children upload files until they are killed; it is started by `test_kills.py`."""

import asyncio
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import AsyncIterator
from typing import Any

import orjson

from app.config import settings
from app.main import create_app
from app.sections import FileSettings
from app.services.filesystem import open_store
from tests.support import serve

PIECES, LONGEST = 40, 0.4
"""Pieces of an upload, and seconds that a child has after its first one."""

UPLOADS = 3
"""At once in a child."""


def config_of(order: dict[str, Any]) -> Any:
    """Return the settings with the store that was asked for."""
    return settings.model_copy(update={"files": FileSettings(**order["files"])})


async def content(piece: int, ready: int) -> AsyncIterator[bytes]:
    """Yield one upload, and say once that it has begun."""
    for number in range(PIECES):
        yield os.urandom(piece)
        if number == 1:
            os.write(ready, b".")
        await asyncio.sleep(0)


async def upload(order: dict[str, Any], ready: int) -> None:
    """Upload one file after the other, some at a time, for ever."""
    async with serve(create_app(config_of(order), url=order["url"])) as client:

        async def one_after_another() -> None:
            while True:
                body = content(order["piece"], ready)
                answer = await client.post("/files", params={"name": "x"}, headers=order["headers"], content=body)
                assert answer.status_code == 201, answer.text

        await asyncio.gather(*(one_after_another() for _ in range(UPLOADS)))


def kill_one(order: dict[str, Any]) -> None:
    """Let a child begin, and kill it at some moment."""
    told, ready = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(told)
        try:
            asyncio.run(upload(order, ready))
        except BaseException:  # noqa: BLE001 - whatever ends it, the parent's reader learns of it
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(ready)
    assert os.read(told, 1) == b".", "the child ended before its first upload began"
    time.sleep(random.uniform(0, order.get("longest", LONGEST)))  # noqa: S311 - any moment will do
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.close(told)
    assert os.WTERMSIG(status) == signal.SIGKILL


if __name__ == "__main__":
    given = orjson.loads(sys.stdin.buffer.read())
    open_store(config_of(given).files)  # so that each child finds the client loaded
    for _ in range(given["kills"]):
        kill_one(given)
