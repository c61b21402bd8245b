"""A balancer as a cluster's Service is one: connections go in turn to the processes that say that they are ready."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from httpx2 import AsyncClient, HTTPError, Limits

READY = "/api/v1/core/health/ready"
PERIOD = 0.1
"""Seconds between two looks at a process."""


class Balancer:
    """Forwards bytes; it tries nothing twice, so that whatever a process does wrong is seen by the client."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.ports = tuple(ports)
        self.ready: set[int] = set()
        self.turns = itertools.cycle(self.ports)
        self.connections: Counter[int] = Counter()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Forward and probe while this is open; yield the port."""
        server = await asyncio.start_server(self.forward, "127.0.0.1", 0)
        probes = [asyncio.create_task(self.probe(port)) for port in self.ports]
        async with server:
            try:
                yield int(server.sockets[0].getsockname()[1])
            finally:
                for task in probes:
                    task.cancel()
                await asyncio.wait(probes)

    async def probe(self, port: int) -> None:
        """Ask a process again and again, each time on a connection of its own."""
        each_its_own = Limits(max_keepalive_connections=0)
        async with AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=5, limits=each_its_own) as client:
            while True:
                try:
                    answers = (await client.get(READY)).is_success
                except HTTPError:
                    answers = False
                (self.ready.add if answers else self.ready.discard)(port)
                await asyncio.sleep(PERIOD)

    async def forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end, by one process."""
        ready = next((port for port in itertools.islice(self.turns, len(self.ports)) if port in self.ready), None)
        if ready is None:
            writer.close()
            return
        self.connections[ready] += 1
        try:
            upstream, downstream = await asyncio.open_connection("127.0.0.1", ready)
        except OSError:
            writer.close()
            return
        await asyncio.gather(pump(reader, downstream), pump(upstream, writer))


async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Hand on what comes until one side has closed."""
    with suppress(OSError):
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
    sink.close()
