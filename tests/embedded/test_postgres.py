"""The embedded PostgreSQL: made, adopted, stopped, and found again after every way to die."""

import os
import pwd
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from app.embedded.engine import LOG_BYTES
from app.embedded.postgres import SOCKET, Postgres
from app.embedded.ways import ENVIRONMENT, EngineError, command_lines, private_folder
from tests.embedded.conftest import Make, open_to_nobody, root_only
from tests.embedded.support import alive, ask, children_of, kill_everything, names, until

KEEP = ("create table kept (name text)", "insert into kept values ('Ärger')")
KEPT = "select lower(name) from kept"


def test_first_start_adoption_and_stop(make: Make) -> None:
    """A first start makes a cluster, a second one adopts the server, a stop keeps the data."""
    first, second = make(), make()
    assert not first.is_running()
    first.start()
    ask(first, *KEEP)
    second.start()
    assert first.pid == second.pid is not None
    assert ask(second, "show timezone") == "UTC"
    second.stop()
    until(lambda: not first.is_running())  # the parent sees a moment later that it has ended
    assert not second.is_running()
    assert first.data.stat().st_mode & 0o777 == 0o700
    assert first.log.stat().st_mode & 0o777 == 0o600
    first.start()
    assert ask(first, KEPT) == "ärger"


def test_data_is_found_after_everything_was_killed(make: Make) -> None:
    """After kill -9 of the server and all its children the next start finds what was committed."""
    postgres = make()
    postgres.start()
    ask(postgres, *KEEP)
    kill_everything(postgres)
    again = make()
    again.start()
    assert ask(again, KEPT) == "ärger"


def test_a_cluster_that_was_removed_under_way_is_not_made_anew(make: Make) -> None:
    """Whoever removed the data of a running server hears of it: an empty cluster in its place would hide the loss."""
    postgres = make()
    postgres.start()
    pid = postgres.pid
    assert pid is not None
    shutil.rmtree(postgres.data)
    for member in (pid, *children_of(postgres)):
        with suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)
    until(lambda: not postgres.is_running())
    with pytest.raises(EngineError, match="is gone, though it was in use"):
        postgres.start()
    assert not postgres.data.exists()


def test_the_log_holds_no_rows(make: Make) -> None:
    """An error is logged without its detail, which quotes the row that was refused."""
    postgres = make()
    postgres.start()
    ask(postgres, "create table person (email text unique)", "insert into person values (chr(97) || '@example.com')")
    with pytest.raises(DBAPIError, match="person_email_key"):
        ask(postgres, "insert into person select email from person")
    text = postgres.log.read_text()
    assert "person_email_key" in text
    assert "a@example.com" not in text


def test_a_child_at_work_does_not_outlive_a_killed_server_for_long(make: Make) -> None:
    """A busy child of a killed server would block the next start for as long as it computes; it is ended."""
    postgres = make()
    postgres.start()
    ask(postgres, *KEEP)
    endless = "select count(*) from generate_series(1, 9000000000) as n where n % 7 = 8"
    command = [sys.executable, "-c", BUSY, postgres.url("postgres", "postgres"), endless]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as client:  # noqa: S603 - ours
        try:
            busy = until(lambda: [pid for pid in children_of(postgres) if "SELECT" in command_lines(pid).get(pid, "")])
            os.kill(postgres.pid or 0, signal.SIGKILL)
            until(lambda: not postgres.is_running())
            assert alive(busy[0])
            again = make()
            again.start()
            assert not alive(busy[0])
            client.wait(timeout=60)
        finally:
            client.kill()
    assert ask(again, KEPT) == "ärger"


BUSY = """
import asyncio, sys
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
async def main():
    async with create_async_engine(sys.argv[1]).connect() as connection:
        await connection.execute(text(sys.argv[2]))
asyncio.run(main())
"""


def test_a_stale_pid_that_another_process_has_now(make: Make) -> None:
    """A pid file whose number belongs to another process, even of the engine's user, is no server and no obstacle."""
    postgres = make()
    postgres.start()
    ask(postgres, *KEEP)
    kill_everything(postgres)
    owner = postgres.data.stat().st_uid
    other = subprocess.Popen(["/bin/sleep", "60"], user=owner if os.geteuid() == 0 else None)
    try:
        for name in ("postmaster.pid", f"{SOCKET}.lock"):
            file = postgres.data / name
            file.write_text(f"{other.pid}\n" + file.read_text().partition("\n")[2])
        again = make()
        assert not again.is_running()
        again.stop()
        assert other.poll() is None
        again.start()
        assert ask(again, KEPT) == "ärger"
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_two_side_by_side(make: Make, folder: Path) -> None:
    """Two data directories have two servers, which share neither data nor fate."""
    first, second = make(folder / "one" / "postgres"), make(folder / "one" / "postgres2")
    for postgres in (first, second):
        postgres.start()
        ask(postgres, f"create table of_{postgres.data.name} ()")
    assert first.pid != second.pid
    tables = "select string_agg(tablename, ' ') from pg_tables where schemaname = 'public'"
    assert [ask(first, tables), ask(second, tables)] == ["of_postgres", "of_postgres2"]
    kill_everything(first)
    assert ask(second, tables) == "of_postgres2"


@pytest.mark.parametrize("name", ["d" * 120, "with, comma and ö"])
def test_a_path_that_cannot_hold_a_socket(make: Make, folder: Path, name: str) -> None:
    """A path too long for a socket, or with letters that an address gives a meaning, gets a private folder."""
    postgres = make(folder / name / "postgres")
    postgres.start()
    assert ask(postgres, "select 1") == 1
    found = postgres.socket.stat()
    assert found.st_mode & 0o777 == 0o700
    assert found.st_uid == postgres.data.stat().st_uid
    kill_everything(postgres)
    postgres.start()
    assert ask(postgres, "select 2") == 2
    postgres.stop()
    assert not postgres.socket.exists()


def test_a_planted_socket_folder_is_refused(folder: Path) -> None:
    """A link, a file, a folder open to others, or one of somebody else is never taken for the private folder."""
    target, link, wide = folder / "target", folder / "link", folder / "wide"
    target.mkdir(mode=0o700)
    link.symlink_to(target)
    wide.mkdir()
    wide.chmod(0o777)
    (folder / "file").touch(mode=0o600)
    for planted in (link, wide, folder / "file"):
        with pytest.raises(EngineError, match="no private folder"):
            private_folder(planted, os.geteuid())
    private_folder(target, os.geteuid())


@root_only
def test_a_socket_folder_of_another_user_is_refused(folder: Path) -> None:
    """A private folder belongs to the engine's user or is made by us, else it is refused; ours is handed over."""
    folder.chmod(0o755)
    nobody = pwd.getpwnam("nobody").pw_uid
    for owner in (1, 0):
        (folder / str(owner)).mkdir(mode=0o700)
        os.chown(folder / str(owner), owner, -1)
    with pytest.raises(EngineError, match="no private folder of nobody"):
        private_folder(folder / "1", nobody)
    private_folder(folder / "0", nobody)
    assert (folder / "0").stat().st_uid == nobody


def test_another_major_version(make: Make) -> None:
    """A cluster of another version is left alone, and the message names both."""
    postgres = make()
    postgres.data.mkdir(mode=0o700)
    (postgres.data / "PG_VERSION").write_text("15\n")
    with pytest.raises(EngineError, match=r"made by PostgreSQL 15, and this is 18\.\d+.*pass another --data-dir"):
        postgres.start()
    assert names(postgres.data) == ["PG_VERSION"]


def test_a_folder_with_other_files(make: Make) -> None:
    """A folder that holds something else is left alone."""
    postgres = make()
    postgres.data.mkdir()
    (postgres.data / "letter.txt").touch()
    with pytest.raises(EngineError, match="holds files but no cluster"):
        postgres.start()
    assert names(postgres.data) == ["letter.txt"]


def test_a_start_that_is_stopped_while_the_cluster_is_made(make: Make, folder: Path) -> None:
    """A stop ends a start under way with all its processes, leaves nothing half made, and is no obstacle later."""
    postgres, errors = make(), []

    def start() -> None:
        try:
            postgres.start()
        except EngineError as error:
            errors.append(str(error))

    thread = threading.Thread(target=start)
    thread.start()
    until(lambda: list(folder.glob(".postgres.new-*/base")))
    postgres.stop()
    thread.join(timeout=60)
    assert errors == ["PostgreSQL was told to stop while it was starting."]
    assert names(folder) == ["postgres.log"]
    assert not [line for line in command_lines().values() if str(folder) in line]
    postgres.start()
    assert ask(postgres, "select 1") == 1


def test_a_cluster_that_was_half_made_when_all_was_killed(make: Make, folder: Path) -> None:
    """What a killed start leaves half made is thrown away by the next one."""
    script = f"from pathlib import Path\n{START}({str(folder / 'postgres')!r})).start()"
    with subprocess.Popen([sys.executable, "-c", script]) as starter:  # noqa: S603 - ours
        try:
            until(lambda: list(folder.glob(".postgres.new-*/base")))
        finally:
            starter.kill()
    assert list(folder.glob(".postgres.new-*"))
    postgres = make()
    postgres.start()
    assert ask(postgres, "select 1") == 1
    assert names(folder) == ["postgres", "postgres.log"]


START = "from app.embedded.postgres import Postgres; Postgres(Path"


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let files grow to so many bytes only, which fails much like a full disk and needs no rights."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_failing_initdb_says_why(make: Make, folder: Path) -> None:
    """The message holds the end of the log, and nothing half made is left."""
    postgres = make()
    with largest_file(100_000), pytest.raises(EngineError, match=r"initdb could not(.|\n)*The end of .*log:\n  .*\w"):
        postgres.start()
    assert names(folder) == ["postgres.log"]


def test_a_server_that_cannot_start_says_why(make: Make, folder: Path) -> None:
    """The message holds what this attempt has logged, and no lines of earlier ones."""
    make().start()
    make().stop()
    broken = Postgres(folder / "postgres", options={"shared_buffers": "many"})
    with pytest.raises(EngineError, match="shared_buffers") as refused:
        broken.start()
    assert "ready to accept connections" not in str(refused.value)


def test_the_log_is_put_aside_when_it_is_large(make: Make, folder: Path) -> None:
    """The log starts anew at a start, and one old log is kept."""
    postgres = make()
    with postgres.log.open("wb") as log:
        log.truncate(LOG_BYTES + 1)
    postgres.start()
    assert postgres.log.stat().st_size < 100_000
    assert (folder / "postgres.log.1").stat().st_size == LOG_BYTES + 1


def test_a_data_directory_that_cannot_be(make: Make, folder: Path) -> None:
    """A data directory below a file is refused with a clear line."""
    (folder / "file").touch()
    with pytest.raises(EngineError, match=r"cannot use .*File exists.*pass another --data-dir"):
        make(folder / "file" / "postgres").start()


@root_only
@open_to_nobody
def test_root_runs_it_as_nobody(make: Make) -> None:
    """PostgreSQL refuses root: where nobody can go, nobody runs it."""
    postgres = make()
    postgres.start()
    assert Path(f"/proc/{postgres.pid}").stat().st_uid == postgres.data.stat().st_uid == pwd.getpwnam("nobody").pw_uid


@root_only
@pytest.mark.skipif(
    os.system("unshare --user true 2>/dev/null") != 0,  # noqa: S605, S607 - a constant
    reason="this system permits no user namespaces",
)
def test_root_in_a_folder_closed_to_nobody(make: Make, folder: Path) -> None:
    """Where nobody cannot go, root runs it under another number; the files stay root's, also in later starts."""
    folder.chmod(0o700)
    first = make()
    first.start()
    ask(first, *KEEP)
    assert first.data.stat().st_uid == 0
    make().start()
    kill_everything(first)
    folder.chmod(0o711)
    again = make()
    again.start()
    assert ask(again, KEPT) == "ärger"
    assert again.data.stat().st_uid == 0


@root_only
@open_to_nobody
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="this system has no setpriv")
def test_a_cluster_of_nobody_in_a_folder_that_was_closed_later(make: Make, folder: Path) -> None:
    """The owner of a cluster decides how it is run: nobody's stays nobody's when the way to it is closed."""
    first = make()
    first.start()
    ask(first, *KEEP)
    first.stop()
    folder.chmod(0o700)
    again = make()
    again.start()
    assert ask(again, KEPT) == "ärger"
    assert again.data.stat().st_uid == pwd.getpwnam("nobody").pw_uid


@root_only
@open_to_nobody
def test_no_way_to_run_it(make: Make, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither nobody nor root can run it, the message names the closed folder and what to do."""
    folder.chmod(0o700)
    monkeypatch.setitem(ENVIRONMENT, "PATH", "/nowhere")
    with pytest.raises(EngineError, match=rf"nobody cannot enter {folder}\. Pass --data-dir"):
        make().start()


@root_only
def test_a_cluster_of_somebody_else(make: Make) -> None:
    """Who neither owns the cluster nor is root is told whose it is."""
    postgres = make()
    postgres.data.mkdir(mode=0o700)
    try:
        os.seteuid(pwd.getpwnam("nobody").pw_uid)
        with pytest.raises(EngineError, match="belongs to the user root, and you are nobody"):
            postgres.start()
    finally:
        os.seteuid(0)
