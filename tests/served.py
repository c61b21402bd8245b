"""The application behind a real socket, for clients that are no coroutines."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI


@contextmanager
def running(app: FastAPI) -> Iterator[tuple[uvicorn.Server, int]]:
    """Serve on a free port of loopback, in a thread with a loop of its own, and stop."""
    config = uvicorn.Config(app, loop="tests.loop:Loop", log_config=None, access_log=False, backlog=512)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield server, listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(60)
    assert not thread.is_alive()
