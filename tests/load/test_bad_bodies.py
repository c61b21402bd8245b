"""Bodies that are too large, of the wrong kind, or JSON that is none."""

from collections.abc import AsyncIterator

import pytest

from app.config import settings
from tests.load.door import JSON, Door

LIMIT = settings.server.body_limit
TOO_LARGE, MALFORMED, INVALID = (413, "payload_too_large"), (400, "malformed_json"), (422, "validation_error")
KIND = (b"content-type", b"application/json")
WRITES = ["POST /projects", "PATCH"]


async def pieces(size: int) -> AsyncIterator[bytes]:
    """Yield a body of blanks piece by piece, so that nobody knows its length before."""
    for start in range(0, size, 65_536):
        yield b" " * min(65_536, size - start)


def target(door: Door, write: str) -> tuple[str, str]:
    """Return method and path of a write."""
    return ("PATCH", door.path) if write == "PATCH" else ("POST", "/projects")


@pytest.mark.parametrize("write", WRITES)
async def test_a_body_over_the_limit(door: Door, write: str) -> None:
    """One byte too many is refused, with its length said before and without; without a sign-in it is not even read."""
    method, path = target(door, write)
    kind = [("Content-Type", JSON)]
    lines = [*door.signed(), *kind]
    await door.refuses(TOO_LARGE, method, path, headers=lines, content=b" " * (LIMIT + 1))
    await door.refuses(TOO_LARGE, method, path, headers=lines, content=pieces(LIMIT + 1))
    await door.refuses((401, "unauthenticated"), method, path, headers=kind, content=pieces(LIMIT + 1))


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", None])
async def test_the_limit_is_one_for_all_kinds(door: Door, kind: str | None) -> None:
    """The limit holds for operations that read no body, and for bodies that are no JSON."""
    lines = door.signed() + ([("Content-Type", kind)] if kind else [])
    for method, path in (("POST", "/projects"), ("DELETE", door.path), ("GET", "/projects")):
        await door.refuses(TOO_LARGE, method, path, headers=lines, content=pieces(LIMIT + 1))


async def test_a_body_at_the_limit_is_read(door: Door) -> None:
    """The last byte that is allowed is read: what is refused then is the name."""
    body = b'{"name": "' + b"x" * (LIMIT - 12) + b'"}'
    assert len(body) == LIMIT
    lines = [*door.signed(), ("Content-Type", JSON)]
    await door.refuses(INVALID, "POST", "/projects", headers=lines, content=body)


LENGTHS: dict[str, tuple[list[bytes], tuple[int, str]]] = {
    "too_small_a_lie": ([b"10"], TOO_LARGE),
    "zero_is_a_lie": ([b"0"], TOO_LARGE),
    "said_and_true": ([b"%d" % (LIMIT + 2)], TOO_LARGE),
    "2_to_63": ([b"%d" % 2**63], TOO_LARGE),
    "digits_without_end": ([b"9" * 5000], TOO_LARGE),
    "negative": ([b"-1"], (400, "bad_request")),
    "no_number": ([b"many"], (400, "bad_request")),
    "empty": ([b""], (400, "bad_request")),
    "with_a_plus": ([b"+10"], (400, "bad_request")),
    "hexadecimal": ([b"0x10"], (400, "bad_request")),
    "doubled": ([b"10", b"10"], (400, "bad_request")),
    "joined": ([b"10, 10"], (400, "bad_request")),
    "other_digits": (["\N{ARABIC-INDIC DIGIT ONE}".encode()], (400, "bad_request")),
}


@pytest.mark.parametrize("case", LENGTHS)
async def test_a_length_that_lies(door: Door, case: str) -> None:
    """What counts is what comes: a server that passes on more than was announced changes nothing."""
    values, right = LENGTHS[case]
    lines = [KIND, *((b"content-length", value) for value in values)]
    chunks = [b" " * LIMIT, b" ", b" "]
    await door.refuses_raw(right, "POST", "/projects", headers=lines, chunks=chunks)


GOOD = b'{"name": "of the wrong kind"}'
KINDS: dict[str, tuple[str | None, bytes]] = {
    "missing": (None, GOOD),
    "empty": ("", GOOD),
    "text": ("text/plain", GOOD),
    "xml": ("application/xml", b"<name>x</name>"),
    "form": ("application/x-www-form-urlencoded", b"name=x"),
    "form_with_json": ("application/x-www-form-urlencoded", GOOD),
    "multipart": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\nx\r\n',
    ),
    "multipart_without_a_boundary": ("multipart/form-data", GOOD),
    "octets": ("application/octet-stream", b"\xff\x00"),
    "json_as_a_parameter": ("text/plain; application/json", GOOD),
    "nonsense": (";;;", GOOD),
    "very_long": ("x/" + "y" * 10_000, GOOD),
    "json_in_the_name": ("application/notjson", GOOD),
    "json_lines": ("application/jsonl", GOOD),
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("case", KINDS)
async def test_a_body_of_another_kind(door: Door, case: str, write: str) -> None:
    """Only what says that it is JSON is read as JSON: a page on another site cannot send that without being asked."""
    kind, body = KINDS[case]
    lines = door.signed() + ([("Content-Type", kind)] if kind is not None else [])
    method, path = target(door, write)
    refusal = await door.refuses(INVALID, method, path, headers=lines, content=body)
    assert refusal.places == [["body"]]


DEEP = 100_000
BODIES: dict[str, tuple[bytes, tuple[int, str]]] = {
    "empty": (b"", INVALID),
    "blank": (b"  ", MALFORMED),
    "null": (b"null", INVALID),
    "a_list": (b'[{"name": "x"}]', INVALID),
    "a_text": (b'"name"', INVALID),
    "a_number": (b"1", INVALID),
    "not_a_number": (b"NaN", MALFORMED),
    "infinity": (b"-Infinity", MALFORMED),
    "cut": (b'{"name": "x"', MALFORMED),
    "two_documents": (GOOD + GOOD, MALFORMED),
    "single_quotes": (b"{'name': 'x'}", MALFORMED),
    "trailing_comma": (b'{"name": "x",}', MALFORMED),
    "with_a_comment": (b'{"name": "x"} // x', MALFORMED),
    "line_break_in_a_text": (b'{"name": "a\nb"}', MALFORMED),
    "nul_byte": (b'{"name": "a\0b"}', MALFORMED),
    "nul_byte_behind": (GOOD + b"\0", MALFORMED),
    "open_brackets": (b"[" * DEEP, MALFORMED),
    "brackets": (b"[" * DEEP + b"]" * DEEP, MALFORMED),
    "brackets_in_a_field": (b'{"name": ' + b"[" * DEEP + b"]" * DEEP + b"}", MALFORMED),
    "objects": (b'{"name":' * DEEP + b"1" + b"}" * DEEP, MALFORMED),
    "brackets_900": (b'{"name": ' + b"[" * 900 + b"]" * 900 + b"}", MALFORMED),
    "name_1e400": (b'{"name": 1e400}', INVALID),
    "name_not_a_number": (b'{"name": NaN}', MALFORMED),
    "name_infinity": (b'{"name": Infinity}', MALFORMED),
    "name_2_to_63": (b'{"name": 9223372036854775808}', INVALID),
    "name_of_5000_digits": (b'{"name": ' + b"1" * 5000 + b"}", MALFORMED),
    "name_1e_without_end": (b'{"name": 1e' + b"9" * 5000 + b"}", INVALID),
    "bom_and_nonsense": (b"\xef\xbb\xbf{", MALFORMED),
    "bom_twice": (b"\xef\xbb\xbf\xef\xbb\xbf" + GOOD, MALFORMED),
    "bom_inside": (b'{\xef\xbb\xbf"name": "x"}', MALFORMED),
    "bom_and_an_unknown_field": (b'\xef\xbb\xbf{"name": "x", "tenant_id": 1}', MALFORMED),
    "utf_16": (GOOD.decode().encode("utf-16"), MALFORMED),
    "utf_16_without_a_bom": (GOOD.decode().encode("utf-16-be"), MALFORMED),
    "utf_32": (GOOD.decode().encode("utf-32"), MALFORMED),
    "latin_1": ('{"name": "caf\N{LATIN SMALL LETTER E WITH ACUTE}"}'.encode("latin-1"), MALFORMED),
    "overlong": (b'{"name": "\xc0\xaf"}', MALFORMED),
    "surrogate_bytes": (b'{"name": "\xed\xa0\x80"}', MALFORMED),
    "cut_character": (b'{"name": "\xe2\x82"}', MALFORMED),
    "beyond_unicode": (b'{"name": "\xf4\x90\x80\x80"}', MALFORMED),
    "surrogate_escape": (rb'{"name": "\ud800"}', MALFORMED),
    "surrogates_in_the_wrong_order": (rb'{"name": "\udc00\ud800"}', MALFORMED),
    "surrogate_in_a_key": (rb'{"name": "x", "\udfff": 1}', MALFORMED),
    "surrogate_in_a_skipped_value": (rb'{"name": "\ud800", "name": "x"}', MALFORMED),
    "escape_without_end": (rb'{"name": "\u12"}', MALFORMED),
    "doubled_key_last_is_bad": (rb'{"name": "x", "name": "a\u0000b"}', MALFORMED),
    "doubled_key_unknown": (b'{"tenant_id": 1, "name": "x", "tenant_id": 2}', MALFORMED),
    "doubled_key": (b'{"name": "first", "name": "last"}', MALFORMED),
    "doubled_key_in_another_spelling": (rb'{"name": "first", "n\u0061me": "last"}', MALFORMED),
    "bom": (b"\xef\xbb\xbf" + GOOD, MALFORMED),
    "unknown_key_in_another_spelling": (rb'{"name": "x", "tenant_\u0069d": 1}', INVALID),
    "as_deep_as_may_be": (b'{"name": ' + b"[" * 31 + b"]" * 31 + b"}", INVALID),
    "one_level_too_deep": (b'{"name": ' + b"[" * 32 + b"]" * 32 + b"}", MALFORMED),
    "key_in_capitals": (b'{"NAME": "x"}', INVALID),
    "empty_key": (b'{"name": "x", "": 1}', INVALID),
    "prototype": (b'{"name": "x", "__proto__": {"role": "owner"}}', INVALID),
    "many_unknown_keys": (b'{"name": "x"' + b"".join(b', "k%d": 1' % key for key in range(20_000)) + b"}", INVALID),
    "long_unknown_key": (b'{"name": "x", "' + b"k" * 100_000 + b'": 1}', INVALID),
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("case", BODIES)
async def test_a_body_that_is_no_good_json(door: Door, case: str, write: str) -> None:
    """What is no JSON is 400, JSON of another form is 422."""
    body, right = BODIES[case]
    method, path = target(door, write)
    lines = [*door.signed(), ("Content-Type", JSON)]
    await door.refuses(right, method, path, headers=lines, content=body)


@pytest.mark.parametrize(
    "kind", ["application/json; charset=utf-16", "application/merge-patch+json", "APPLICATION/JSON"]
)
@pytest.mark.parametrize("body", [rb'{"name": "\ud800"}', '{"name": "x"}'.encode("utf-16"), b"{"])
async def test_json_by_another_name(door: Door, kind: str, body: bytes) -> None:
    """Whatever is read as JSON is held to the same: UTF-8, whole characters."""
    lines = [*door.signed(), ("Content-Type", kind)]
    await door.refuses(MALFORMED, "POST", "/projects", headers=lines, content=body)


async def test_two_content_types(door: Door) -> None:
    """A body that says two things of itself is not read past the checks of either."""
    lines = [(b"content-type", b"text/plain"), KIND]
    await door.refuses_raw(MALFORMED, "POST", "/projects", headers=lines, chunks=[rb'{"name": "\ud800"}'])
    await door.refuses_raw(MALFORMED, "POST", "/projects", headers=lines[::-1], chunks=[rb'{"name": "\ud800"}'])
