"""Jobs a second, side by side: our worker, saq, arq, RQ's own; one process each: `python benchmarks/jobs.py [ROUNDS]`.

The contestants take turns, so that a busy machine is busy for all; compare within one run only. Saq and arq get
environments of their own under `benchmarks/.environments`, for they want an older redis-py; their locks are here.
"""

import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import redis

from app.embedded.valkey import wheel_server

HERE = Path(__file__).parent
ENVIRONMENTS = HERE / ".environments"
PEERS = ("saq", "arq")
COUNTS = {"noop": {"rq": 60, "": 3000}, "nap": {"rq": 20, "": 2000}}
IDEAL = 100 / 0.05
"""Jobs a second that a hundred places can do of a nap of 50 ms."""
MEMORY_JOBS = 100_000


def python_of(contestant: str) -> str:
    """Return the interpreter for a contestant, making its environment when there is none."""
    if contestant not in PEERS:
        return sys.executable
    place = ENVIRONMENTS / contestant
    if not (place / ".ready").exists():
        pip = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
        index = subprocess.run(pip, capture_output=True, text=True, check=False).stdout.strip()
        named = {"UV_DEFAULT_INDEX": index} if index and "UV_DEFAULT_INDEX" not in os.environ else {}
        uv = str(Path(sys.executable).with_name("uv"))
        lock = str(HERE / "requirements" / f"{contestant}.txt")
        python = str(place / "bin" / "python")
        for command in (
            [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(place)],
            [uv, "pip", "sync", "--quiet", "--system-certs", "--require-hashes", "--python", python, lock],
        ):
            subprocess.run(command, check=True, env=os.environ | named)
        (place / ".ready").touch()
    return str(place / "bin" / "python")


def measure(contestant: str, kind: str, count: int, package: Path = HERE.parent) -> dict[str, Any]:
    """Run one contestant once, on an empty Valkey of its own; ours is found in the folder `package`."""
    with closing(socket.create_server(("127.0.0.1", 0))) as found:
        port = found.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            [wheel_server(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder],
            stdout=subprocess.DEVNULL,
        )
        try:
            with redis.Redis(port=port) as connection:
                while not answers(connection):
                    time.sleep(0.02)
            script = HERE / "contestants" / f"with_{contestant}.py"
            done = subprocess.run(
                [python_of(contestant), str(script), str(port), kind, str(count)],
                check=True,
                stdout=subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": str(package)},
            )
        finally:
            server.kill()
            server.wait()
    found_line = json.loads(done.stdout.splitlines()[-1])
    if found_line["done"] < count:
        raise SystemExit(f"{contestant} did {found_line['done']} of {count} jobs")
    return dict(found_line)


def answers(connection: "redis.Redis") -> bool:
    """Tell whether a server is there."""
    try:
        return bool(connection.ping())
    except redis.exceptions.ConnectionError:
        return False


def main() -> None:
    """Measure in turns, print medians, ranges and ratios."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    contestants = ("rqworker", *PEERS, "rq")
    rates: dict[tuple[str, str], list[float]] = {}
    memory: dict[str, float] = {}
    print(f"{platform.platform()}, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f} before")
    for turn in range(rounds):
        for kind, counts in COUNTS.items():
            for contestant in contestants[turn % 4 :] + contestants[: turn % 4]:
                count = counts.get(contestant, counts[""])
                found = measure(contestant, kind, count)
                rates.setdefault((kind, contestant), []).append(count / found["seconds"])
                memory[contestant] = found["rss"]
    medians = {key: statistics.median(values) for key, values in rates.items()}
    for (kind, contestant), values in rates.items():
        ours = medians[kind, "rqworker"] / medians[kind, contestant]
        median, low, high = medians[kind, contestant], min(values), max(values)
        print(
            f"{kind:5} {contestant:9} {median:7.0f} jobs/s ({low:.0f} to {high:.0f}), ours is {ours:.2f} times that,",
            end=" ",
        )
        print(f"{memory[contestant]:.0f} MB")
    bound = min(IDEAL, medians["noop", "rqworker"])
    print(f"nap   rqworker  {medians['nap', 'rqworker'] / bound:.2f} of what is possible ({bound:.0f} jobs/s)")
    long = measure("rqworker", "noop", MEMORY_JOBS)
    print(f"memory in MB: {long['memory']}, {long['rss']} at {MEMORY_JOBS:,} jobs")
    print(f"load {os.getloadavg()[0]:.1f} after")


if __name__ == "__main__":
    main()
