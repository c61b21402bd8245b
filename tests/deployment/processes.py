"""An installation of several processes, each started as a server would start it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from app.config import settings
from tests.support import Cluster

PATIENCE = 180.0
"""Seconds that a process may take to start or to stop, on a machine that has other things to do."""


def environment(cluster: Cluster, database: str, broker: str, **more: str) -> Mapping[str, str]:
    """Return the settings of the installation, and of this process's environment what is no setting."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("APP_")}
    own = {
        "APP_ENV": "testing",
        "APP_DATABASE__URL": cluster.url("app_rw", database),
        "APP_DATABASE__POOLER": str(settings.database.pooler).lower(),
        "APP_BROKER__URL": broker,
        "APP_TASKS__MODE": "worker",
        "APP_AUTH__SIGNING_KEYS": json.dumps([key.get_secret_value() for key in settings.auth.signing_keys]),
    }
    return {**inherited, **own, **more}


class Process:
    """One of our commands; what it says goes to `log`."""

    def __init__(self, log: Path, environ: Mapping[str, str], *arguments: str) -> None:
        self.log = log
        self.environ = environ
        self.command = [sys.executable, "-m", "app.cli", *arguments]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def runs(self) -> bool:
        """Whether it was started, and has not ended."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, env=self.environ, stdout=log, stderr=log)  # noqa: S603 - ours

    def tell(self) -> None:
        """Ask it to stop."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)

    async def ended(self) -> int:
        """Return its exit code."""
        assert self.process is not None
        return await asyncio.to_thread(self.process.wait, PATIENCE)

    def kill(self) -> None:
        """See that it is gone."""
        if self.process:
            self.process.kill()
            self.process.wait()


async def until(condition: Callable[[], Any]) -> None:
    """Return when a condition holds; fail when that takes too long."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
