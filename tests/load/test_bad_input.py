"""Values that no field, query or path can take, in every operation that has one."""

import uuid
from typing import Any

import pytest

from tests.access.roles import OPERATIONS
from tests.examples import Examples, Operation
from tests.load.door import Door
from tests.support import PASSWORD

INVALID, BAD = (422, "validation_error"), (400, "bad_request")
PATHS = [name for name, one in OPERATIONS.items() if one.named("path")]
BODIES = [name for name, one in OPERATIONS.items() if one.body is not None]
LISTS = [name for name, one in OPERATIONS.items() if "limit" in one.named("query")]
ASSIGNED: dict[str, Any] = {
    "id": "0198c0de-0000-7000-8000-00000000cafe",
    "tenant_id": "0198c0de-0000-7000-8000-00000000cafe",
    "created_by": "0198c0de-0000-7000-8000-00000000cafe",
    "created_at": "2026-01-02T03:04:05Z",
    "deleted_at": None,
    "version": 7,
    "status": "archived",
    "is_superuser": True,
    "role": "owner",
    "password_hash": "x",
    "__class__": "Project",
}


def good_body(operation: Operation) -> dict[str, Any]:
    """Return a body that would be accepted."""
    made: dict[str, Any] = Examples(operation.components, uuid.uuid4().hex).value(operation.body or {})
    known = {"email": f"{uuid.uuid4().hex}@example.com", "password": PASSWORD}
    return {name: known.get(name, value) if isinstance(value, str) else value for name, value in made.items()}


def path_of(operation: Operation, door: Door) -> str:
    """Return the path of the owner's own object, so that nothing but the input is wrong."""
    made = (own for path, own in door.own.items() if operation.path.startswith(f"{path}/{{"))
    return operation.path.format(**dict.fromkeys(operation.named("path"), next(made, door.project["id"])))


@pytest.mark.parametrize("field", ASSIGNED)
@pytest.mark.parametrize("name", BODIES)
async def test_a_field_that_is_not_the_clients(door: Door, name: str, field: str) -> None:
    """What the server decides cannot be sent along, in no write: neither taken nor ignored, but refused."""
    operation = OPERATIONS[name]
    body = good_body(operation)
    # Where the field is the client's to set, it is no place for another thing.
    body[field] = {"$set": ASSIGNED[field]} if field in body else ASSIGNED[field]
    refusal = await door.refuses(INVALID, operation.method, path_of(operation, door), json=body)
    assert {tuple(place[:2]) for place in refusal.places} == {("body", field)}


TEXTS = {"nul": "a\0b", "nul_alone": "\0", "nul_at_the_end": "a\0"}
FIELDS = [(name, field) for name in BODIES for field in good_body(OPERATIONS[name])]
OPAQUE = {"password", "current_password", "new_password", "refresh_token", "token"}
"""Never stored and never compared as text: a hash of them is."""


@pytest.mark.parametrize(("name", "field"), [pair for pair in FIELDS if pair[1] not in OPAQUE])
@pytest.mark.parametrize("case", TEXTS)
async def test_nul_in_a_text(door: Door, case: str, name: str, field: str) -> None:
    """PostgreSQL has no such character; every field says so before it."""
    operation = OPERATIONS[name]
    body = good_body(operation) | {field: TEXTS[case]}
    refusal = await door.refuses(INVALID, operation.method, path_of(operation, door), json=body)
    assert {tuple(place[:2]) for place in refusal.places} == {("body", field)}


@pytest.mark.parametrize(("name", "field"), FIELDS)
async def test_half_a_character_in_a_text(door: Door, name: str, field: str) -> None:
    """A lone surrogate in any field, secrets included, is no JSON."""
    operation = OPERATIONS[name]
    fields = ", ".join(f'"{one}": "{"x" if one != field else chr(92) + "ud800"}"' for one in good_body(operation))
    lines = [*door.signed(), ("Content-Type", "application/json")]
    path = path_of(operation, door)
    right = (400, "malformed_json")
    await door.refuses(right, operation.method, path, headers=lines, content=f"{{{fields}}}".encode())


WRONG: dict[str, Any] = {
    "a_number": 1,
    "2_to_63": 2**63,
    "a_true": True,
    "a_list": ["x"],
    "an_object": {"$ne": ""},
    "too_long": "x" * 20_000,
}


def right_kinds(name: str, field: str) -> frozenset[str]:
    """Return the cases of `WRONG` that are right for a field, which wants a number or a boolean."""
    value = good_body(OPERATIONS[name])[field]
    if isinstance(value, bool):
        return frozenset({"a_true"})
    return frozenset({"a_number"}) if isinstance(value, int) else frozenset()


@pytest.mark.parametrize(
    ("case", "name", "field"),
    [(case, *pair) for case in WRONG for pair in FIELDS if case not in right_kinds(*pair)],
)
async def test_a_value_of_another_type(door: Door, case: str, name: str, field: str) -> None:
    """Nothing is turned into a text or a number, and both have an end."""
    operation = OPERATIONS[name]
    body = good_body(operation) | {field: WRONG[case]}
    refusal = await door.refuses(INVALID, operation.method, path_of(operation, door), json=body)
    assert {tuple(place[:2]) for place in refusal.places} == {("body", field)}


LIMITS = {
    "2_to_63": "9223372036854775808",
    "minus_2_to_63": "-9223372036854775809",
    "10_to_9": "1000000000",
    "101": "101",
    "zero": "0",
    "minus_one": "-1",
    "1e3": "1e3",
    "empty": "",
    "blank": " ",
    "a_fraction": "1.5",
    "not_a_number": "NaN",
    "infinity": "inf",
    "hexadecimal": "0x10",
    "other_digits": "\N{ARABIC-INDIC DIGIT ONE}",
    "with_nul": "1\0",
    "5000_digits": "9" * 5000,
    "null": "null",
    "a_list": "[1]",
    "sql": "1; drop table projects",
}


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("case", LIMITS)
async def test_a_limit_that_is_none(door: Door, case: str, name: str) -> None:
    """A page has 1 to 100 rows."""
    operation = OPERATIONS[name]
    refusal = await door.refuses(INVALID, "GET", path_of(operation, door), params={"limit": LIMITS[case]})
    assert refusal.places == [["query", "limit"]]


QUERIES = {
    "unknown_field": "colour=red",
    "unknown_field_without_a_value": "colour",
    "offset": "offset=10",
    "tenant": "tenant_id=0198c0de-0000-7000-8000-00000000cafe",
    "field_with_nul": "%00=1",
    "field_half_a_character": "%ED%A0%80=1",
    "cursor_with_nul": "cursor=%00",
    "limit_as_a_list": "limit[]=1",
    "limit_in_capitals": "LIMIT=1",
    "very_long_field": "x" * 50_000 + "=1",
    "many_fields": "&".join(f"f{number}=1" for number in range(2000)),
    "semicolon": "limit=1;limit=2",
}
SORTS = {
    "sort_unknown": "sort=colour",
    "sort_by_another_column": "sort=tenant_id",
    "sort_by_a_secret": "sort=-created_by",
    "sort_empty": "sort=",
    "sort_minus": "sort=-",
    "sort_two_minus": "sort=--name",
    "sort_plus": "sort=%2Bname",
    "sort_two": "sort=name,created_at",
    "sort_in_capitals": "sort=NAME",
    "sort_nul": "sort=name%00",
    "sort_half_a_character": "sort=%ED%A0%80",
    "sort_dunder": "sort=__class__",
    "sort_sql": "sort=name;drop table projects",
    "status_unknown": "status=gone",
    "status_empty": "status=",
    "status_nul": "status=active%00",
    "status_half_a_character": "status=%ED%B0%80",
    "status_null": "status=null",
}


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("case", QUERIES)
async def test_a_query_that_no_list_has(door: Door, case: str, name: str) -> None:
    """What is not understood is not ignored."""
    await door.refuses(INVALID, "GET", f"{path_of(OPERATIONS[name], door)}?{QUERIES[case]}")
    await door.refuses_raw(INVALID, "GET", path_of(OPERATIONS[name], door), query=QUERIES[case].encode())


@pytest.mark.parametrize("case", SORTS)
async def test_an_order_or_a_filter_that_there_is_not(door: Door, case: str) -> None:
    """A list is sorted and filtered by what is offered, and by nothing else."""
    await door.refuses(INVALID, "GET", f"/projects?{SORTS[case]}")


@pytest.mark.parametrize(
    "query", [b"limit=\xff", b"\xed\xa0\x80=1", b"sort=\xed\xa0\x80", b"cursor=\0", b"status=\xff\xfe"]
)
async def test_a_query_of_bytes(door: Door, query: bytes) -> None:
    """Bytes that are no text come to nothing, too."""
    await door.refuses_raw(INVALID, "GET", "/projects", query=query)


IDS: dict[str, tuple[str, set[int]]] = {
    "no_identifier": ("no-identifier", {422}),
    "a_number": ("1", {422}),
    "2_to_63": ("9223372036854775808", {422}),
    "minus_one": ("-1", {422}),
    "nul": ("%00", {422}),
    "identifier_with_nul": ("0198c0de-0000-7000-8000-00000000cafe%00", {422}),
    "half_a_character": ("%ED%A0%80", {422}),
    "no_utf_8": ("%FF", {422}),
    "sql": ("'%20or%201=1%20--", {422}),
    "too_long": ("0198c0de-0000-7000-8000-00000000cafe0", {422}),
    "very_long": ("0" * 20_000, {422}),
    "line_break": ("a%0D%0AX-Admin:%201", {422}),
    "nil": (str(uuid.UUID(int=0)), {404}),
    "all_ones": (str(uuid.UUID(int=2**128 - 1)), {404}),
    "nobodys": ("0198c0de-0000-7000-8000-00000000cafe", {404}),
    "slash": ("..%2F..%2Fusers", {404, 405}),
}


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("case", IDS)
async def test_an_identifier_that_names_nothing(door: Door, case: str, name: str) -> None:
    """What is no identifier is 422, what is nobody's is 404, in every operation that takes one; a name may be both."""
    operation, (value, right) = OPERATIONS[name], IDS[case]
    if any(schema.get("format") != "uuid" for schema in operation.named("path").values()):
        right = {404, 405, 422}
    path = operation.path.format(**dict.fromkeys(operation.named("path"), value))
    body = {"json": good_body(operation)} if operation.body is not None else {}
    answer = await door.people.owner.call(operation.method, path, **body)
    assert answer.status_code in right, answer.text[:500]
    door.check((answer.status_code, answer.json()["code"]), answer.content, answer.status_code, dict(answer.headers))


ADDRESSES = {
    "unknown": "/nowhere",
    "very_long": "/" + "x" * 40_000,
    "nul": "/%00",
    "half_a_character": "/%ED%A0%80",
    "no_utf_8": "/%FF%FE",
    "slashes": "//",
    "upwards": "/..%2f..",
    "line_break": "/a%0D%0Ab",
}


@pytest.mark.parametrize("case", ADDRESSES)
async def test_an_address_that_there_is_not(door: Door, case: str) -> None:
    """Any address is 404 in the one form, however long and strange, and with a query of any length."""
    await door.refuses((404, "not_found"), "GET", ADDRESSES[case])
    refusal = await door.refuses((404, "not_found"), "GET", f"{ADDRESSES[case]}?{'q' * 20_000}")
    assert len(refusal.problem["instance"]) <= 3 * 1000


async def test_an_address_longer_than_any_client_sends(door: Door) -> None:
    """A million characters are answered with a short problem."""
    long = "x" * 1_000_000
    refusal = await door.refuses_raw((404, "not_found"), "GET", f"/{long}", query=long.encode())
    assert len(refusal.problem["instance"]) <= 1000
    await door.refuses_raw(INVALID, "GET", f"/projects/{long}")
    await door.refuses_raw(INVALID, "GET", "/projects", query=long.encode())


@pytest.mark.parametrize("path", ["/\ud800", "/projects/\udfff", "/projects/\0", "/projects/\r\nX: y"])
async def test_a_path_of_half_characters(door: Door, path: str) -> None:
    """Servers that decode a path otherwise than uvicorn does no harm."""
    right = INVALID if path.startswith("/projects/") else (404, "not_found")
    await door.refuses_raw(right, "GET", path)


TAGS: dict[str, tuple[bytes, tuple[int, str]]] = {
    "no_quotes": (b"1", BAD),
    "empty": (b"", BAD),
    "one_quote": (b'"1', BAD),
    "quotes_inside": (b'"1"1"', BAD),
    "comma": (b'"1",', BAD),
    "star_and_tag": (b'*, "1"', BAD),
    "two_stars": (b"**", BAD),
    "weak_in_small": (b'w/"1"', BAD),
    "weak_alone": (b"W/", BAD),
    "blank_in_a_tag": (b'"1 "', BAD),
    "nul": (b'"\0"', BAD),
    "a_line_break": (b'"1"\r\nX: y', BAD),
    "sql": (b"' or 1=1 --", BAD),
    "many_commas": (b"," * 500, BAD),
    "slow_for_a_regex": (b'"1"' + b" " * 490 + b"x", BAD),
    "501_characters": (b'"' + b"1" * 499 + b'"', INVALID),
    "very_long": (b'"1",' * 50_000, INVALID),
    "weak": (b'W/"1"', (412, "precondition_failed")),
    "another": (b'"7"', (412, "precondition_failed")),
    "2_to_63": (b'"9223372036854775808"', (412, "precondition_failed")),
    "padded_number": (b'"01"', (412, "precondition_failed")),
    "minus_one": (b'"-1"', (412, "precondition_failed")),
    "latin_1": (b'"\xff"', (412, "precondition_failed")),
}


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@pytest.mark.parametrize("case", TAGS)
async def test_an_if_match_that_does_not_match(door: Door, case: str, method: str) -> None:
    """Garbage is refused, not ignored: who sends a condition wants it kept."""
    value, right = TAGS[case]
    lines = [(b"if-match", value), (b"content-type", b"application/json")]
    await door.refuses_raw(right, method, door.path, headers=lines, chunks=[b'{"description": "changed"}'])


async def test_two_if_matches(door: Door) -> None:
    """Two lines are a list; that the first of them is stale or garbage is not forgotten."""
    body = [b'{"description": "changed"}']
    kind = (b"content-type", b"application/json")
    for first, second, right in (
        (b'"7"', b'"8"', (412, "precondition_failed")),
        (b"garbage", b"garbage", BAD),
        (b'"1"', b"garbage", BAD),
        (b"garbage", b'"1"', BAD),
        (b"*", b'"1"', BAD),
    ):
        lines = [(b"if-match", first), (b"if-match", second), kind]
        await door.refuses_raw(right, "PATCH", door.path, headers=lines, chunks=body)
