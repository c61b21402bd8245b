"""`app events --live` and `app tasks list --live`: the outbox as a table, once or until Ctrl-C."""

import asyncio
import errno
import os
import pty
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from typing import Any, Self

import pytest

from tests.commands.support import PROGRAM, ROOT, run_each
from tests.support import Cluster

TENANT = "insert into tenants (id, name, version) values (gen_random_uuid(), 'watched', 1) returning id"
ENTRY = """
    insert into outbox_entries (
        tenant_id, id, kind, name, queue, status, version, action, payload, request_id, address, attempts, max_attempts,
        dispatches, error, progress, created_at
    ) values (
        :tenant, gen_random_uuid(), :kind, :name, 'default', :status, 1, :action, '{"note": "a payload"}', '', '',
        :attempts, 3, 1, :error, cast(:progress as jsonb), now() - interval '3 hours'
    ) returning id
"""
HOSTILE = "\x1b]0;owned\x07\x1b[2J [red]not\nred[/red] \x9b1m password=hunter2"
DEADLINE = 60.0


@pytest.fixture
def watched(cluster: Cluster) -> Iterator[str]:
    """Make a database to watch."""
    name = f"gp_{uuid.uuid4().hex[:12]}"
    asyncio.run(cluster.clone(name))
    yield name
    asyncio.run(cluster.drop(name))


def put(cluster: Cluster, database: str, **changes: Any) -> str:
    """Leave an entry in the outbox of a new tenant; return the tenant's id."""
    values = {"kind": "delivery", "name": "a.handler", "status": "queued", "action": "thing.happened", "attempts": 0}
    ((tenant,),) = asyncio.run(cluster.rows(database, TENANT))
    entry = {**values, "error": None, "progress": None, **changes, "tenant": tenant}
    asyncio.run(cluster.rows(database, ENTRY, **entry))
    return str(tenant)


def cells(out: str) -> list[list[str]]:
    """Return the cells of all tables."""
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines()]
    return [line for line in lines if line]


def test_a_frame_shows_both_tables(cluster: Cluster, watched: str) -> None:
    """A pipe gets one frame: counts, then what failed before what waits and what is over, without any payload."""
    over, waits = (put(cluster, watched, status=status) for status in ("finished", "queued"))
    dead = put(cluster, watched, status="dead", attempts=3, error=HOSTILE)
    task = {"kind": "task", "name": "a.task", "action": None, "status": "started", "attempts": 1}
    progress = '{"done": 3, "total": 9, "token": "hunter2"}'
    runs = put(cluster, watched, **task, progress=progress)
    lines = (("events", "--live"), ("tasks", "list", "--once"))
    events, tasks = run_each(*lines, APP_DATABASE__URL=cluster.url("app_rw", watched))
    assert (events.code, events.err, tasks.code, tasks.err) == (0, "", 0, "")
    counts, *entries = cells(events.out)
    assert counts == ["a.handler", "0", "1", "0", "0", "1", "1", "0"]
    shared = ["thing.happened", "a.handler"]
    error = "]0;owned  [2J [red]not red[/red]  1m password=[redacted]"
    assert entries == [
        [*shared, dead, "dead", "3/3", "3 h", error],
        [*shared, waits, "queued", "0/3", "3 h", ""],
        [*shared, over, "finished", "0/3", "3 h", ""],
    ]
    assert cells(tasks.out)[1:] == [
        ["a.task", runs, "started", "1/3", "3 h", "done=3 token=[redacted] total=9", ""],
    ]
    assert not {sign for sign in events.out + tasks.out if not sign.isprintable()} - {"\n"}
    assert "a payload" not in events.out + tasks.out


class Terminal:
    """A command in a terminal of its own."""

    def __init__(self, *arguments: str, database: str) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("APP_")}
        size = {"TERM": "xterm", "COLUMNS": "200", "LINES": "30"}
        environment = {**inherited, **size, "APP_ENV": "testing", "APP_DATABASE__URL": database}
        self.screen, inner = pty.openpty()
        self.process = subprocess.Popen(  # noqa: S603 - our own program
            [*PROGRAM, *arguments], cwd=ROOT, env=environment, stdin=inner, stdout=inner, stderr=inner
        )
        os.close(inner)
        self.seen = ""

    def __enter__(self) -> Self:
        """Be there already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing running, whatever a test has found."""
        os.close(self.screen)
        self.process.kill()
        self.process.wait()

    def read(self) -> bool:
        """Read what is there; False once the program has closed its end."""
        try:
            more = os.read(self.screen, 65_536)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return False
        self.seen += more.decode("utf-8", "replace")
        return bool(more)

    def until(self, words: str) -> None:
        """Return once the words were written."""
        deadline = time.monotonic() + DEADLINE
        while words not in self.seen:
            assert time.monotonic() < deadline, self.seen
            assert self.read(), self.seen

    def end(self) -> int:
        """Press Ctrl-C; return the status."""
        self.process.send_signal(signal.SIGINT)
        while self.read():
            pass
        return self.process.wait(DEADLINE)


def test_the_table_refreshes_until_a_signal(cluster: Cluster, watched: str) -> None:
    """What comes meanwhile is shown; Ctrl-C gives the terminal back as it was, with status 0."""
    with Terminal("events", "--live", "--every", "0.1", database=cluster.url("app_rw", watched)) as terminal:
        terminal.until("as of ")
        assert "a.late.handler" not in terminal.seen
        put(cluster, watched, name="a.late.handler", status="dead", error=HOSTILE)
        terminal.until("a.late.handler")
        assert terminal.end() == 0
    assert "Traceback" not in terminal.seen
    assert "\x1b]0;" not in terminal.seen
    assert terminal.seen.rindex("\x1b[?1049l") > terminal.seen.index("\x1b[?1049h")
    assert terminal.seen.rindex("\x1b[?25h") > terminal.seen.rindex("\x1b[?25l")


def test_a_database_that_is_away_is_asked_again() -> None:
    """The caption says so, again and again, and the command goes on."""
    away = "postgresql+asyncpg://app_rw:hunter2@/app?host=/nowhere"
    with Terminal("tasks", "list", "--live", "--every", "0.1", database=away) as terminal:
        terminal.until("not seen yet; the database at ")
        before = len(terminal.seen)
        while terminal.seen[before:].count("asked again") < 2:
            assert terminal.read()
        assert terminal.end() == 0
    assert "Traceback" not in terminal.seen
    assert "hunter2" not in terminal.seen
