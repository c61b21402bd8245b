"""`app dev`: everything on a bare machine, from an empty folder to an address and a sign-in."""

import asyncio
import http.client
import json
import os
import secrets
import shlex
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from alembic.util import CommandError

from app.auth.superusers import promote
from app.config import settings
from app.db.migrations import prepare, upgrade
from app.embedded.demo import SUPERUSER as DEMO_SUPERUSER
from app.embedded.demo import DemoAccess, seed
from app.embedded.postgres import SUPERUSER, Postgres
from app.embedded.supervisor import Addresses, Child, EnginePart, Supervisor, hold, say, write_whole
from app.embedded.valkey import Valkey
from app.embedded.ways import EngineError

DEFAULT_DATA_DIR = Path(__file__).resolve().parents[2] / ".data"
DATABASE = "app"
READY = "/api/v1/core/health/ready"
DRAIN = 5
"""Seconds that the API has for the requests it has begun; then it cuts them off."""
PATIENCE = 3.0
"""Seconds after which a step that is not done says so."""
KEY_LENGTH = 32
"""What a signing key has at least, in characters."""
POLL = 0.05
"""Seconds between two looks at the API that starts."""


def run(host: str, port: int, data_dir: Path, *, workers: int, demo: bool) -> int:
    """Start everything, supervise it until a signal, stop it; return the exit code."""
    # The drivers of Python obey PGPORT and its like too, in this process and in its children.
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]
    folder = data_dir.expanduser().resolve()
    try:
        if folder.is_dir():
            with hold(folder):  # a second start hears the first one's address, not that the port is taken
                pass
        port = claim_port(host, port)
        make_folder(folder)
        with hold(folder):
            asyncio.run(Dev(host, port, folder, workers=workers, demo=demo).run())
    except CommandError as error:
        sys.stderr.write(f"app dev: the data in {folder} is not of this code: {error}. Pass another --data-dir.\n")
        return 1
    except EngineError as error:
        sys.stderr.write(f"app dev: {error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"app dev: {error}. If that is in the data directory, pass another --data-dir.\n")
        return 1
    except KeyboardInterrupt:  # it came before the supervisor listened
        return 130
    return 0


def claim_port(host: str, port: int) -> int:
    """Return the port to serve on, a free one for 0; raises EngineError when it cannot be had."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in found:
            with socket.socket(family, kind, protocol) as probe:
                # As the server does: a port on which only old connections fade is free.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((address[0], port, *address[2:]))
                port = probe.getsockname()[1]
    except OverflowError:
        raise EngineError(f"There is no port {port}: pass --port with a number from 0 to 65535.") from None
    except OSError as error:
        raise EngineError(
            f"Cannot serve on port {port} of {host}: {error.strerror}. Stop what is there, or pass another "
            "--port or --host."
        ) from error
    return port


def make_folder(folder: Path) -> None:
    """Make the data directory if it is missing: closed to others, but the user of root's engine may pass."""
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True)
            folder.chmod(0o700 if os.geteuid() else 0o711)
    except OSError as error:
        raise EngineError(f"Cannot make the data directory: {error}. Pass another --data-dir.") from error


def signing_key(folder: Path) -> str:
    """Return the key that signs tokens here; it is made once, so that a sign-in outlives a restart."""
    path = folder / "signing_key"
    if not path.exists() or len(path.read_text()) < KEY_LENGTH:
        write_whole(path, secrets.token_urlsafe(48))
    return path.read_text()


def is_ready(host: str, port: int) -> bool:
    """Ask the API whether it is ready; no answer means no."""
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", READY)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@asynccontextmanager
async def step(label: str) -> AsyncIterator[None]:
    """Print what was done and how long it took, and that it is not done when it takes long."""
    since = time.monotonic()
    late = asyncio.get_running_loop().call_later(PATIENCE, say, f"  ...     {label}: still at it")
    try:
        yield
    finally:
        late.cancel()
    say(f"  {time.monotonic() - since:5.2f} s {label}")


class Dev:
    """One run of `app dev` on an open port and a held data directory."""

    def __init__(self, host: str, port: int, folder: Path, *, workers: int, demo: bool) -> None:
        self.host, self.port, self.folder = host, port, folder
        self.workers, self.demo = workers, demo
        self.prefix = settings.database.role_prefix
        self.postgres, self.valkey = Postgres(folder / "postgres"), Valkey(folder / "valkey")
        self.visit = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
        self.address = f"http://{f'[{self.visit}]' if ':' in self.visit else self.visit}:{port}"
        admin = self.postgres.url(SUPERUSER, DATABASE)
        addresses = Addresses(self.address, self.url("rw"), admin, self.valkey.url, self.environment())
        self.supervisor = Supervisor(folder, addresses)

    async def run(self) -> None:
        """Run until a signal."""
        say(f"{settings.project_name} starts, with its data in {self.folder}")
        await self.supervisor.run(self.boot)
        say(f"{settings.project_name} has stopped.")

    async def boot(self) -> None:
        """Start everything, step by step."""
        since, access = time.monotonic(), None
        async with step("PostgreSQL"):
            await self.supervisor.add(EnginePart(self.postgres))
        async with step("Valkey"):
            await self.supervisor.add(EnginePart(self.valkey))
        async with step("Roles and database"):
            await prepare(self.postgres.url(SUPERUSER, "postgres"), DATABASE, self.prefix)
        async with step("Schema"):
            await asyncio.to_thread(upgrade, self.url("migrator"))
        if self.demo:
            async with step("Demo data"):
                access = await seed(self.url("rw"))
                await promote(self.url("migrator"), DEMO_SUPERUSER)
        async with step("Relay, scheduler and workers"):
            for part in self.beside():
                await self.supervisor.add(part)
        async with step("API"):
            api = self.api()
            await self.supervisor.add(api, last=True)
            await self.until_ready(api)
        self.welcome(access, time.monotonic() - since)

    def url(self, role: str) -> str:
        """Return the database's address for a role, by the name without its prefix."""
        return self.postgres.url(f"{self.prefix}_{role}", DATABASE)

    def api(self) -> Child:
        """Return the API's process."""
        options = {"host": self.host, "port": self.port, "drain": DRAIN}
        flags = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        command = [sys.executable, "-m", "app.cli", "serve", *flags]
        return Child("api", command, self.environment(), grace=DRAIN + 3)

    def beside(self) -> Iterator[Child]:
        """Yield the processes of what comes after a commit."""
        yield self.child("relay")
        yield self.child("scheduler")
        for _ in range(self.workers):
            yield self.child("worker", "--drain", str(DRAIN))

    def child(self, name: str, *arguments: str) -> Child:
        """Return the process of one of our commands."""
        return Child(name, [sys.executable, "-m", "app.cli", name, *arguments], self.environment(), grace=DRAIN + 8)

    def environment(self) -> dict[str, str]:
        """Return the settings by which any command of ours finds what runs here."""
        return {
            "APP_ENV": os.environ.get("APP_ENV", "development"),
            "APP_DATABASE__URL": self.url("rw"),
            "APP_DATABASE__WORKER_URL": self.url("worker"),
            "APP_DATABASE__RELAY_URL": self.url("relay"),
            "APP_DATABASE__MIGRATE_URL": self.url("migrator"),
            "APP_DATABASE__ROLE_PREFIX": self.prefix,
            "APP_BROKER__URL": self.valkey.url,
            "APP_TASKS__MODE": "worker",
            "APP_AUDIT__ANCHOR": str(self.folder / "audit-anchor.json"),
            "APP_MAIL__FOLDER": str(self.folder / "mails"),
            "APP_FILES__FOLDER": str(self.folder / "files"),
            "APP_MAIL__LINK_BASE": self.address,
            "APP_AUTH__SIGNING_KEYS": json.dumps([signing_key(self.folder)]),
        }

    async def until_ready(self, api: Child) -> None:
        """Return when the API answers; raises EngineError when it gives up instead, say over a setting."""
        ready, ended = asyncio.create_task(self.answers()), asyncio.create_task(api.wait())
        await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done() and (api.code or 0) > 0:
            ready.cancel()
            raise EngineError(f"The API ended with code {api.code} before it was ready; it says why above.")
        await ready

    async def answers(self) -> None:
        """Return when the API says that it is ready."""
        while not await asyncio.to_thread(is_ready, self.visit, self.port):  # noqa: ASYNC110 - sets no event
            await asyncio.sleep(POLL)

    def hint(self) -> str:
        """Return the command that prints how others find what runs here, as it is typed in any folder."""
        words = [str(Path(sys.executable).with_name("app")), "dev", "--env"]
        return shlex.join(words if self.folder == DEFAULT_DATA_DIR else [*words, "--data-dir", str(self.folder)])

    def welcome(self, access: DemoAccess | None, seconds: float) -> None:
        """Print where to go and how to get in."""
        say(f"\n{settings.project_name} runs at {self.address} (after {seconds:.1f} s; Ctrl-C stops everything)")
        say(f"  documentation  {self.address}/docs")
        say(f"  mails          {self.folder / 'mails'}")
        say(f'  other commands eval "$({self.hint()})" lets them find this')
        if settings.server.console:
            say(f"  console        {self.address}/console")
        if access:
            say(f"  sign-in        {access.email}  {access.password}")
            say(f"  superuser      {DEMO_SUPERUSER}  {access.password}")
            say(f"  tenant         {access.tenant_id}")
