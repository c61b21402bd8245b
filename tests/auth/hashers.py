"""The real algorithm, watched and held up."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pwdlib.hashers.argon2 import Argon2Hasher

from app.config import settings

PATIENCE = 60.0


class WatchedHasher(Argon2Hasher):
    """Notes each call with its parameters and its thread; while the gate is shut, none ends."""

    def __init__(self) -> None:
        super().__init__(
            time_cost=settings.auth.argon2_iterations,
            memory_cost=settings.auth.argon2_memory_kib,
            parallelism=settings.auth.argon2_parallelism,
        )
        self.calls: list[tuple[str, str]] = []
        self.threads: set[str] = set()
        self.running = 0
        self.most = 0
        self.lock = threading.Lock()
        self.gate = threading.Event()
        self.gate.set()

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        """Hash, watched."""
        with self.watched("hash", ""):
            return super().hash(password, salt=salt)

    def verify(self, password: str | bytes, hash: str | bytes) -> bool:  # noqa: A002 - the library's name
        """Verify, watched; what counts of a stored hash is what it costs."""
        with self.watched("verify", str(hash).split("$")[3]):
            return super().verify(password, hash)

    @contextmanager
    def watched(self, what: str, cost: str) -> Iterator[None]:
        """Count the call while it runs, and hold it until the gate is open."""
        with self.lock:
            self.calls.append((what, cost))
            self.threads.add(threading.current_thread().name)
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            if not self.gate.wait(PATIENCE):
                raise TimeoutError("nobody opened the gate")
            yield
        finally:
            with self.lock:
                self.running -= 1
