"""How the worker and its Lua scripts spell requests and answers: one JSON text, in which a character is a byte.

Redis-py packs and parses argument by argument, in Python; JSON is read and written in C on both sides. Latin-1 maps the
256 bytes to the first 256 characters, so compressed data and text of any language pass unchanged.
"""

import json
from typing import Any


def dumps(request: Any) -> bytes:
    """Encode a request; its texts hold bytes (`from_text`, `from_bytes`)."""
    return json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode("latin-1")


def loads(answer: bytes) -> Any:
    """Decode an answer; its texts hold bytes (`to_bytes`, `to_text`)."""
    return json.loads(answer.decode("latin-1"))


def from_text(text: str) -> str:
    """Return a text as its UTF-8 bytes, a character each."""
    return text if text.isascii() else text.encode("utf-8", "surrogatepass").decode("latin-1")


def to_text(carried: str) -> str:
    """Return the text that `from_text` was given; bytes that are no UTF-8 are replaced."""
    return carried if carried.isascii() else carried.encode("latin-1").decode("utf-8", "replace")


def from_bytes(data: bytes) -> str:
    """Return bytes as characters."""
    return data.decode("latin-1")


def to_bytes(carried: str) -> bytes:
    """Return the bytes that `from_bytes` was given."""
    return carried.encode("latin-1")
