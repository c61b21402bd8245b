"""What a command needs to work with what `app dev` runs: its settings, as a shell takes them."""

import fcntl
import json
import os
import shlex
import sys
from pathlib import Path

from app.embedded.supervisor import LOCK, RECORD
from app.embedded.ways import EngineError


def show(data_dir: Path) -> int:
    """Print, to be evaluated by a shell, the settings of what runs with a data directory; return the exit code.

    The secrets among them are a development stack's on this machine, from a file that its owner alone may read.
    """
    try:
        found = settings_of(data_dir.expanduser().resolve())
    except (EngineError, OSError) as error:
        sys.stderr.write(f"app dev: {error}\n")
        return 1
    # The drivers of Python obey PGPORT and its like too.
    lines = [f"unset {name}" for name in sorted(os.environ) if name.startswith("PG")]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in found.items()]
    sys.stdout.write("\n".join([*lines, ""]))
    return 0


def settings_of(folder: Path) -> dict[str, str]:
    """Return the settings of what runs with a data directory; raises EngineError when nothing does, or not yet."""
    if not is_held(folder):
        raise EngineError(
            f"Nothing runs with the data directory {folder}: start it by app dev, or pass the --data-dir of what runs."
        )
    try:
        found: dict[str, str] = json.loads((folder / RECORD).read_text())["settings"]
    except FileNotFoundError:
        raise EngineError(f"What runs with the data directory {folder} is just starting: try again.") from None
    return found


def is_held(folder: Path) -> bool:
    """Tell whether somebody holds a data directory; nothing is made there."""
    try:
        with (folder / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
