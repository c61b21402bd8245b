"""Runs several command lines in this process, one after the other, and writes as JSON how each ended."""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout

from app.cli import main
from tests.commands.support import code_of


def outcome(arguments: list[str]) -> list[object]:
    """Return the status with which a command line ends, and what it says in either stream."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err):
        code = code_of(lambda: main(arguments))
    return [code, *(stream.buffer.getvalue().decode() for stream in (out, err))]


if __name__ == "__main__":
    sys.stdout.write(json.dumps([outcome(arguments) for arguments in json.loads(sys.argv[1])]))
