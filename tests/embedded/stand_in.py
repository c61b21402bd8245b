"""A supervisor to be killed: `python -m tests.embedded.stand_in DATA_DIR`, with PostgreSQL and a child that sleeps."""

import asyncio
import sys
from pathlib import Path

from app.embedded.postgres import Postgres
from app.embedded.supervisor import Addresses, Child, EnginePart, Supervisor, hold

ADDRESSES = Addresses("http://127.0.0.1:1", "postgresql+asyncpg://a", "postgresql+asyncpg://b")
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


async def main(folder: Path) -> None:
    """Supervise both until a signal."""
    supervisor = Supervisor(folder, ADDRESSES)

    async def boot() -> None:
        await supervisor.add(EnginePart(Postgres(folder / "postgres", options={"fsync": "off"})))
        await supervisor.add(Child("api", SLEEP, {}), last=True)

    await supervisor.run(boot)


if __name__ == "__main__":
    with hold(Path(sys.argv[1])):
        asyncio.run(main(Path(sys.argv[1])))
