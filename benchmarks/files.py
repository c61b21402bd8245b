"""How much memory the API takes while a large file passes, in and out: `python -m benchmarks.files [MIB] [folder|s3]`.

The API runs in `app dev`; S3 is moto's server, in a process of its own, which keeps all it is given.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import botocore.session
from botocore.exceptions import BotoCoreError
from httpx2 import AsyncClient

from benchmarks.installation import Installation, Person, installed

MIB = 1_048_576
BLOCK = os.urandom(MIB)
PORT = 5601
KEYS = {"aws_access_key_id": "k", "aws_secret_access_key": "s", "region_name": "us-east-1"}
LIMIT = {"APP_SERVER__UPLOAD_LIMIT": str(16_384 * MIB), "APP_FILES__TENANT_QUOTA": str(65_536 * MIB)}


@contextmanager
def moto() -> Iterator[dict[str, str]]:
    """Serve S3's protocol with a bucket; yield the settings that lead there."""
    command = [str(Path(sys.executable).with_name("moto_server")), "-p", str(PORT)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{PORT}"
    try:
        session: Any = botocore.session.get_session()
        client = session.create_client("s3", endpoint_url=address, **KEYS)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with suppress(BotoCoreError):
                client.create_bucket(Bucket="files")
                break
            time.sleep(0.2)
        yield {
            "APP_FILES__STORE": "s3",
            "APP_FILES__S3_BUCKET": "files",
            "APP_FILES__S3_ENDPOINT": address,
            "APP_FILES__S3_REGION": KEYS["region_name"],
            "APP_FILES__S3_ACCESS_KEY": KEYS["aws_access_key_id"],
            "APP_FILES__S3_SECRET_KEY": KEYS["aws_secret_access_key"],
        }
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


async def blocks(size: int) -> AsyncIterator[bytes]:
    """Yield so many MiB."""
    for _ in range(size):
        yield BLOCK


def resident(pid: int, name: str) -> float:
    """Return a line of a process's memory, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


async def passed(client: AsyncClient, person: Person, size: int) -> tuple[float, float]:
    """Upload so many MiB and download them; return the seconds of both."""
    began = time.monotonic()
    headers = {**person.headers, "Content-Length": str(size * MIB)}
    made = await client.post("/files", params={"name": "large"}, headers=headers, content=blocks(size))
    file_id, up = made.raise_for_status().json()["id"], time.monotonic()
    count = 0
    async with client.stream("GET", f"/files/{file_id}/content", headers=person.headers) as answer:
        async for block in answer.aiter_raw():
            count += len(block)
    assert count == size * MIB  # noqa: S101 - a figure about half a file would be none
    return up - began, time.monotonic() - up


async def measure(installation: Installation, store: str, size: int) -> None:
    """Let one small file pass, then the large one; print what that took beyond."""
    (pid,) = installation.record["processes"]["api"]
    async with AsyncClient(base_url=f"{installation.record['address']}/api/v1", timeout=600) as client:
        person = await installation.register(client)
        await passed(client, person, 1)
        idle = resident(pid, "VmRSS")
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak counts from here
        up, down = await passed(client, person, size)
    peak = resident(pid, "VmHWM")
    print(
        f"{store}: {size} MiB up in {up:.0f} s ({size / up:.0f} MiB/s), down in {down:.0f} s ({size / down:.0f} MiB/s);"
        f" idle {idle:.0f} MB, at most {peak - idle:+.0f} MB"
    )


async def main() -> None:
    """Measure what was asked for, or both stores."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 1024
    os.environ.update(LIMIT)
    if "s3" not in sys.argv[2:]:
        async with installed() as installation:
            await measure(installation, "folder", size)
    if "folder" not in sys.argv[2:]:
        with moto() as settings:
            os.environ.update(settings)
            async with installed() as installation:
                await measure(installation, "s3 (moto)", size)


if __name__ == "__main__":
    asyncio.run(main())
