"""The anchor: a file outside the database that holds where each tenant's chain ended when last seen."""

import fcntl
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


class BadAnchorError(Exception):
    """The anchor's file is there and holds something else."""


@dataclass(frozen=True, slots=True)
class Head:
    """The last link of a chain: its number and its digest."""

    seq: int
    digest: str


Heads = Mapping[uuid.UUID, Head]
"""The end of each tenant's chain."""


class AnchorFile:
    """Keeps heads in a file of JSON, which is replaced as a whole: whoever reads it finds one state or the next.

    The folder must be there. Two processes on one file take turns. Nothing here checks what the heads lead to; a head
    never gives way to an earlier one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[uuid.UUID, Head]:
        """Return the heads, none while there is no file; raise `BadAnchorError` for a file that is no anchor."""
        try:
            found = json.loads(self.path.read_bytes())
            return {uuid.UUID(name): Head(int(seq), str(digest)) for name, (seq, digest) in found["heads"].items()}
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BadAnchorError(f"{self.path} is no anchor of the audit") from error

    def create(self) -> None:
        """Have a file there, without heads unless it has some; on the disk when this returns."""
        if not self.path.exists():
            with self._alone():
                if not self.path.exists():
                    self._write({})

    def advance(self, heads: Heads) -> None:
        """Replace the heads of some tenants by later ones, on the disk when this returns."""
        with self._alone():
            known = self.read()
            moved = {tenant: head for tenant, head in heads.items() if head.seq > known.get(tenant, NOTHING).seq}
            if moved:
                self._write({**known, **moved})

    def _write(self, heads: Heads) -> None:
        """Write a new file and put it into the place of the old one."""
        content = {"heads": {str(tenant): [head.seq, head.digest] for tenant, head in sorted(heads.items())}}
        new = self.path.with_name(f"{self.path.name}.new")
        with new.open("w", encoding="utf-8") as file:
            json.dump(content, file, indent=0)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait until nobody else writes this file."""
        with self.path.with_name(f"{self.path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


NOTHING = Head(0, "")
"""Where a chain begins."""
