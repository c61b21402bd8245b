"""How a program is run here, and as whom; how its process is known again; a folder that only one may enter.

PostgreSQL refuses to run as root, and its files belong to whoever runs it. So the owner of a cluster decides
how it is run (see `ways`), and nothing about that is written down anywhere else.
"""

import contextlib
import os
import pwd
import re
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 5.0
"""Seconds that a process has to end when it was killed."""
POLL = 0.02
"""Seconds between two looks at a process that starts or stops."""

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
