"""What a file is, by its first bytes, and how it is handed out."""

import re
from urllib.parse import quote

LEAST_CHARGE = 4096
"""Bytes that a file takes of the quota at least."""

HEAD = 1445
"""Bytes that tell a type: as many as WHATWG's MIME Sniffing (5.2) looks at."""

BINARY, TEXT, PDF = "application/octet-stream", "text/plain", "application/pdf"

SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBPVP", "image/webp"),
    (4, b"ftypavif", "image/avif"),
    (0, b"%PDF-", PDF),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"\x1f\x8b\x08", "application/gzip"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1a\x45\xdf\xa3", "video/webm"),
    (0, b"OggS\x00", "application/ogg"),
    (0, b"ID3", "audio/mpeg"),
    (8, b"WAVEfmt ", "audio/wav"),
)
"""Offset, bytes and type; the first that fits wins. What the client says of the type is never believed."""

ACTIVE: tuple[tuple[bytes, str], ...] = (
    (rb"<svg[\s>]", "image/svg+xml"),
    (rb"<!doctype html|<(html|head|body|script|iframe|style|title|table|div|img|a|p|h1|br|font)[\s>/]", "text/html"),
    (rb"<\?xml", "text/xml"),
)
"""Patterns of text that a browser might carry out."""

CONTROL = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
"""Bytes that no text has (MIME Sniffing, 3)."""

INLINE = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", TEXT, PDF})
"""Types that a browser may show: none of them can carry out anything in the name of this site."""

DISARMED = frozenset(kind for _, kind in ACTIVE)
"""Types that go out under no name that a browser would act upon."""

SERVED = tuple(dict.fromkeys([BINARY, TEXT, *(kind for *_, kind in SIGNATURES)]))
"""Types under which files go out."""

SANDBOX = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
PLAIN = re.compile(r"[^A-Za-z0-9 !#$&+.^_`|~()-]")


def sniff(head: bytes) -> str:
    """Return the type of what begins so; text is UTF-8, and what is neither known nor text is just bytes."""
    for offset, signature, kind in SIGNATURES:
        if head.startswith(signature, offset):
            return kind
    for pattern, kind in ACTIVE:
        if re.search(pattern, head, re.IGNORECASE):
            return kind
    if head and not CONTROL.search(head) and is_utf8(head):
        return TEXT
    return BINARY


def is_utf8(head: bytes) -> bool:
    """Tell whether bytes are UTF-8, of which the last character may be cut."""
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return True


def served_type(content_type: str) -> str:
    """Return the Content-Type under which a file of this type goes out."""
    if content_type in DISARMED:
        return BINARY
    return "text/plain; charset=utf-8" if content_type == TEXT else content_type


def disposition(name: str, content_type: str) -> str:
    """Return the Content-Disposition (RFC 6266): the name in ASCII, and as it is (RFC 8187)."""
    how = "inline" if content_type in INLINE else "attachment"
    return f"{how}; filename=\"{PLAIN.sub('_', name)}\"; filename*=UTF-8''{quote(name, safe='')}"


def charge(size: int) -> int:
    """Return how many bytes of the quota a file of this size takes.

    A file without content has a row and an object, too, and both cost: were it free, files would be without end.
    """
    return max(size, LEAST_CHARGE)
