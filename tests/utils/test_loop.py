"""The tests' own loop."""

import asyncio
import socket

import pytest

from tests.loop import Loop


def test_what_is_left_open_is_told_and_closed() -> None:
    """With warnings as errors, as they are here: uvloop alone would wait for ever."""
    ours, theirs = socket.socketpair()
    loop = Loop()
    loop.run_until_complete(loop.create_connection(asyncio.Protocol, sock=ours))
    with ours, theirs, pytest.raises(ResourceWarning, match="unclosed resource"):
        loop.close()
    assert loop.is_closed()
