"""Hears RQ's commands on the loop; RQ's own thread for that may hang for a minute when its connection breaks."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import redis.asyncio

from app.rqworker.clients import OUTAGES

TURN = 30
"""Seconds that one look for a message waits."""
PAUSE = 0.5
"""Seconds between two attempts to subscribe."""

log = logging.getLogger("rq.worker")


async def listen(
    client: "redis.asyncio.Redis", channel: str, handle: Callable[[dict[str, Any]], None], heard: asyncio.Event
) -> None:
    """Hand every message of a channel over, until cancelled; subscribe again after an outage.

    `heard` is set once Redis has said that it will send them.
    """
    while True:
        try:
            async with client.pubsub() as subscription:
                await subscription.subscribe(channel)
                while True:
                    message = await subscription.get_message(timeout=TURN)
                    if message is None:
                        continue
                    if message["type"] == "message":
                        handle(message)
                    else:
                        heard.set()
        except OUTAGES as error:
            log.error("No commands are heard, Redis is away: %s", error)  # noqa: TRY400 - no news in the traceback
            await asyncio.sleep(PAUSE)
