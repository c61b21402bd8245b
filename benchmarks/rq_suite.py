"""Runs RQ's own tests with our worker in place of RQ's: `python benchmarks/rq_suite.py FOLDER [ARGUMENTS OF PYTEST]`.

FOLDER is the unpacked source distribution of the RQ that is installed here (`pip download rq==3.0.0 --no-binary :all:
--no-deps`). Its tests want a Redis on port 6379, which is started, and the package psutil. `--stock` changes nothing.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import redis

from app.embedded.valkey import wheel_server

PORT = 6379
SWAP = """
import rq, rq.worker, rq.worker.worker_classes, rq.worker_pool
from app.rqworker import AsyncWorker
for module in (rq, rq.worker, rq.worker.worker_classes, rq.worker_pool):
    for name in ("Worker", "SimpleWorker"):
        if hasattr(module, name):
            setattr(module, name, AsyncWorker)
"""
"""A plugin for pytest, imported before any test is. It is for these tests alone: nothing of ours is replaced so."""


def main() -> int:
    """Run the tests; return pytest's exit code."""
    folder, *arguments = sys.argv[1:]
    stock = "--stock" in arguments
    arguments = [argument for argument in arguments if argument != "--stock"]
    with tempfile.TemporaryDirectory() as place:
        Path(place, "rq_swap.py").write_text("" if stock else SWAP)
        path = os.pathsep.join([place, str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
        server = subprocess.Popen(
            [
                wheel_server(),
                "--port",
                str(PORT),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--dir",
                place,
                "--databases",
                "17",
            ],
            stdout=subprocess.DEVNULL,
        )
        try:
            answer(server)
            command = [sys.executable, "-m", "pytest", "-p", "rq_swap", "-q", "-p", "no:cacheprovider", *arguments]
            environment = os.environ | {
                "PYTHONPATH": path,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            }
            return subprocess.run(command, cwd=folder, env=environment, check=False).returncode
        finally:
            server.terminate()
            server.wait()


def answer(server: "subprocess.Popen[bytes]") -> None:
    """Wait until the server answers."""
    with redis.Redis(port=PORT) as connection:
        while True:
            try:
                connection.ping()
            except redis.exceptions.ConnectionError:
                if server.poll() is not None:
                    raise SystemExit(f"There is no room for a Redis on port {PORT}") from None
                time.sleep(0.05)
            else:
                return


if __name__ == "__main__":
    raise SystemExit(main())
