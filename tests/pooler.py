"""The suite behind a real pgbouncer, in transaction mode.

`GROUNDPLAN_TEST_POOLER=pgbouncer make test` chooses it: what the application's roles ask goes through it, on one
connection of the server's after another. The superuser and the migrator connect past it: the first looks at what came
of it, the second holds a lock of its session.
"""

import os
import shutil
import subprocess
import time
from pathlib import Path

PGBOUNCER = "pgbouncer"
BEHIND_A_POOLER = os.environ.get("GROUNDPLAN_TEST_POOLER") == PGBOUNCER
POOLED = ("app_rw", "app_worker", "app_relay")
INSTALL = "apt-get install pgbouncer"
NAME = "through pgbouncer"
"""What connections of the server's are called that pgbouncer has opened; nothing else of ours has a name."""
PATIENCE = 10.0

CONFIGURATION = """
[databases]
* = host={server} connect_query='set application_name to "{name}"'
[pgbouncer]
listen_addr =
listen_port = 5432
unix_socket_dir = {folder}
auth_type = trust
auth_file = {folder}/users
pool_mode = transaction
max_client_conn = 1000
default_pool_size = 20
server_idle_timeout = 5
logfile = {folder}/log
log_connections = 0
log_disconnections = 0
"""


class Pooler:
    """A pgbouncer on a socket in `folder`, in front of the PostgreSQL whose socket is in `server`."""

    def __init__(self, folder: Path, server: str) -> None:
        self.folder = folder
        self.server = server
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, as a user without rights where root asks, and return when it listens."""
        program = shutil.which(PGBOUNCER) or shutil.which(PGBOUNCER, path="/usr/sbin")
        if program is None:
            raise FileNotFoundError(f"There is no pgbouncer: {INSTALL}")
        self.folder.mkdir()
        self.folder.chmod(0o777)
        values = {"server": self.server, "folder": self.folder, "name": NAME}
        configuration = self.folder / "pgbouncer.ini"
        configuration.write_text(CONFIGURATION.format(**values))
        (self.folder / "users").write_text("".join(f'"{role}" ""\n' for role in POOLED))
        user = [] if os.geteuid() else ["-u", "nobody"]
        self.process = subprocess.Popen([program, "-q", *user, str(configuration)])  # noqa: S603 - Debian's own
        deadline = time.monotonic() + PATIENCE
        while not (self.folder / ".s.PGSQL.5432").exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"pgbouncer did not start: {(self.folder / 'log').read_text()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it at once."""
        if self.process:
            self.process.terminate()
            self.process.wait(PATIENCE)
