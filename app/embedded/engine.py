"""A server on a folder of its own: adopted or started, known again by its pid and command line, stopped politely."""

import contextlib
import hashlib
import os
import signal
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from app.embedded.ways import PATIENCE, POLL, EngineError, Way, command_lines

SOCKET_BYTES = 103
"""What a socket's path may hold: 107 bytes on Linux, 103 on macOS."""
LOG_BYTES = 8 * 1024 * 1024
"""A larger log is put aside at the next start; one old log is kept."""
TOLD_BYTES = 4096
"""So much of the end of a log is looked at when a start fails."""


class Engine(ABC):
    """One server on the folder `data`, its log beside it; the methods may be called from different threads."""

    name: ClassVar[str]
    title: ClassVar[str]
    """What people call it."""
    pidfile: ClassVar[str]
    """The file in its folder that begins with its pid."""
    slow: ClassVar[str] = ""
    """What a server may be doing that does not answer yet."""
    signals: ClassVar[tuple[tuple[signal.Signals, float], ...]]
    """What asks it to end, the polite way first, and how many seconds each is given."""

    def __init__(self, data: Path) -> None:
        self.data = data.resolve()
        self.log = self.data.with_name(f"{self.data.name}.log")
        self.label = f"groundplan-{hashlib.sha256(os.fsencode(self.data)).hexdigest()[:16]}"
        self.socket = self._find_socket()
        self._has_run = False
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
            recorded = int((self.data / self.pidfile).read_text().partition("\n")[0])
        except (OSError, ValueError):
            return None
        return recorded if self._is_ours(recorded) else None

    def is_running(self) -> bool:
        """Tell whether a server of this folder is there, ready or not."""
        return self.pid is not None

    def start(self, timeout: float = 60.0) -> None:
        """Adopt the server if it runs, else start it, if need be on an empty folder; return when it answers.

        Raises EngineError when that fails, takes more than `timeout` seconds, or `stop` is called meanwhile.
        """
        with self._lock:
            try:
                self._start(time.monotonic() + timeout)
            except OSError as error:
                raise EngineError(
                    f"{self.title} cannot use {self.data}: {error}. Mend that, or pass another --data-dir."
                ) from error

    def stop(self) -> None:
        """Shut down, politely first: what was written is on the disk then. Ends a start under way, too."""
        self._cancelled.set()
        with self._lock:
            for number, patience in (*self.signals, (signal.SIGKILL, PATIENCE)):
                if (pid := self.pid) is None:
                    break
                deadline = time.monotonic() + patience
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
                # Its file goes before the process does.
                while (self.is_running() or self._is_ours(pid)) and time.monotonic() < deadline:
                    time.sleep(POLL)
            self._clear_socket()
            self._cancelled.clear()

    def _is_ours(self, pid: int) -> bool:
        """Tell whether a process is the server of this folder, by its command line."""
        return f"{self._signature()} " in f"{command_lines(pid).get(pid, '')} "

    @abstractmethod
    def _find_socket(self) -> Path:
        """Return where it listens. Every start has to come to the same place, whatever TMPDIR is."""

    @abstractmethod
    def _clear_socket(self) -> None:
        """Remove what a stopped server leaves outside of its folder."""

    @abstractmethod
    def _signature(self) -> str:
        """Return what stands in the command line of this server, and of no other."""

    @abstractmethod
    def _answers(self) -> bool:
        """Ask whether it is ready."""

    @abstractmethod
    def _spawn(self) -> None:
        """Start it, without waiting; `_process` is it then."""

    @abstractmethod
    def _hint(self) -> str:
        """Return what the person may do when a start fails, as the end of a message."""

    def _start(self, deadline: float) -> None:
        spawned = False
        while not (self.is_running() and self._answers()):
            self._refuse_cancelled()
            if not self.is_running():
                if spawned:
                    raise EngineError(f"{self.title} ended while it started in {self.data}.{self._evidence()}")
                self._spawn()
                spawned = True
            if time.monotonic() > deadline:
                raise EngineError(
                    f"{self.title} (process {self.pid}) does not answer in {self.socket}{self.slow}.{self._evidence()}"
                )
            self._cancelled.wait(POLL)
        self._has_run = True

    def _run(self, way: Way, *command: str | Path) -> subprocess.Popen[bytes]:
        """Start a command with its output appended to the log."""
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        self.log.touch(mode=0o600)  # a failed statement is logged with its values
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            return way.popen(command, log.fileno())

    def _evidence(self) -> str:
        """Return what may explain a failure, as the end of a message: a hint, and the last lines logged."""
        if not self.log.exists():
            return self._hint()
        with self.log.open("rb") as log:
            log.seek(max(self._log_start, log.seek(0, os.SEEK_END) - TOLD_BYTES))
            lines = log.read().decode(errors="replace").splitlines()[-10:]
        return "".join([self._hint(), f"\nThe end of {self.log}:", *(f"\n  {line}" for line in lines)])

    def _refuse_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise EngineError(f"{self.title} was told to stop while it was starting.")
