"""Cursors that this list, in this order, of this tenant, never handed out."""

import base64
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from tests.load.door import Door

INVALID, MALFORMED = (400, "invalid_cursor"), (422, "validation_error")
NOBODY = "0198c0de-0000-7000-8000-00000000cafe"
MOMENT = "2026-01-02T03:04:05+00:00"
Query = dict[str, Any]


def pack(value: object) -> str:
    """Return a cursor with this in it."""
    return base64.urlsafe_b64encode(orjson.dumps(value)).decode().rstrip("=")


def packed(raw: bytes) -> str:
    """Return a cursor of these bytes."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def unpack(cursor: str) -> list[Any]:
    """Return what is in a cursor."""
    found: list[Any] = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    return found


async def next_cursor(door: Door, **query: Any) -> str:
    """Return a good cursor of the owner's list of projects."""
    answer = await door.people.owner.call("GET", "/projects", params={"limit": 1, **query})
    found: str = answer.json()["next_cursor"]
    return found


MANGLED: dict[str, tuple[Callable[[str], str], tuple[int, str]]] = {
    "empty": (lambda _: "", INVALID),
    "cut": (lambda good: good[:-5], INVALID),
    "longer": (lambda good: good + "AAAA", INVALID),
    "reversed": (lambda good: good[::-1], INVALID),
    "in_capitals": (lambda good: good.upper(), INVALID),
    "doubled": (lambda good: good + good, INVALID),
    "standard_alphabet": (lambda _: "+/+/", INVALID),
    "padding_alone": (lambda _: "====", INVALID),
    "one_letter": (lambda _: "A", INVALID),
    "with_a_blank": (lambda good: good[:5] + " " + good[5:], INVALID),
    "with_a_line_break": (lambda good: good[:5] + "\n" + good[5:], INVALID),
    "no_ascii": (lambda good: good + "\N{SNOWMAN}", INVALID),
    "with_nul": (lambda good: good + "\0", MALFORMED),
    "2000_characters": (lambda _: "A" * 2000, INVALID),
    "2001_characters": (lambda _: "A" * 2001, MALFORMED),
    "very_long": (lambda _: "A" * 50_000, MALFORMED),
}


@pytest.mark.parametrize("case", MANGLED)
async def test_a_mangled_cursor_is_refused(door: Door, case: str) -> None:
    """Whatever was done to a good cursor, it is one no more."""
    mangle, right = MANGLED[case]
    params = {"limit": 1, "cursor": mangle(await next_cursor(door))}
    await door.refuses(right, "GET", "/projects", params=params)


CRAFTED: dict[str, Callable[[list[Any]], Any]] = {
    "null": lambda _: None,
    "a_number": lambda _: 1,
    "a_text": lambda _: "abc",
    "an_object": lambda good: dict(zip("abc", good, strict=True)),
    "an_empty_list": lambda _: [],
    "two_parts": lambda good: good[:2],
    "four_parts": lambda good: [*good, 1],
    "without_a_mark": lambda good: [None, *good[1:]],
    "another_mark": lambda good: ["0" * 16, *good[1:]],
    "mark_is_a_list": lambda good: [[good[0]], *good[1:]],
    "value_null": lambda good: [good[0], None, good[2]],
    "value_a_list": lambda good: [good[0], [good[1]], good[2]],
    "value_an_object": lambda good: [good[0], {"now": 1}, good[2]],
    "value_no_time": lambda good: [good[0], "yesterday", good[2]],
    "value_sql": lambda good: [good[0], "now(); drop table projects", good[2]],
    "value_infinity": lambda good: [good[0], "infinity", good[2]],
    "value_2_to_63": lambda good: [good[0], 2**63, good[2]],
    "value_1e308": lambda good: [good[0], 1e308, good[2]],
    "value_year_10000": lambda good: [good[0], "10000-01-01T00:00:00Z", good[2]],
    "value_with_nul": lambda good: [good[0], f"{MOMENT}\0", good[2]],
    "id_null": lambda good: [*good[:2], None],
    "id_a_number": lambda good: [*good[:2], 1],
    "id_a_list": lambda good: [*good[:2], [good[2]]],
    "id_no_identifier": lambda good: [*good[:2], "x"],
    "id_with_nul": lambda good: [*good[:2], f"{NOBODY}\0"],
    "deep": lambda good: [*good[:2], orjson.Fragment(b"[" * 700 + b"]" * 700)],
}


@pytest.mark.parametrize("case", CRAFTED)
async def test_a_crafted_cursor_is_refused(door: Door, case: str) -> None:
    """Also with the right mark in front, which anybody can read in their own cursors."""
    good = unpack(await next_cursor(door))
    params = {"limit": 1, "cursor": pack(CRAFTED[case](good))}
    await door.refuses(INVALID, "GET", "/projects", params=params)


EDGES = {
    "first_moment": "0001-01-01T00:00:00Z",
    "before_the_first_moment": "0001-01-01T00:00:00+23:59",
    "last_moment": "9999-12-31T23:59:59.999999Z",
    "after_the_last_moment": "9999-12-31T23:59:59.999999-23:59",
    "without_a_zone": "2026-01-02T03:04:05",
    "first_without_a_zone": "0001-01-01T00:00:00",
    "last_without_a_zone": "9999-12-31T23:59:59.999999",
    "before_all": -62135596800,
    "a_date": "2026-01-02",
    "zero": 0,
    "a_false": False,
}


@pytest.mark.parametrize("sort", ["created_at", "-created_at", "updated_at"])
@pytest.mark.parametrize("case", EDGES)
async def test_a_moment_at_the_edge_of_time(door: Door, case: str, sort: str) -> None:
    """A crafted cursor with a moment that hardly is one shows the caller's own rows, or is refused."""
    mark, _, last = unpack(await next_cursor(door, sort=sort))
    query = {"limit": 1, "sort": sort, "cursor": pack([mark, EDGES[case], last])}
    answer = await door.people.owner.call("GET", "/projects", params=query)
    assert answer.status_code in {200, 400, 422}, answer.text
    if answer.status_code == 200:
        assert door.foreign["id"] not in answer.text
    else:
        door.check(
            (answer.status_code, answer.json()["code"]), answer.content, answer.status_code, dict(answer.headers)
        )


NAMES: dict[str, Callable[[list[Any]], bytes]] = {
    "nul": lambda good: orjson.dumps([good[0], "a\0b", good[2]]),
    "half_a_character": lambda good: orjson.dumps([good[0], "X", good[2]]).replace(b'"X"', rb'"\ud800"'),
    "surrogate_bytes": lambda good: orjson.dumps([good[0], "X", good[2]]).replace(b'"X"', b'"\xed\xa0\x80"'),
    "no_utf_8": lambda good: orjson.dumps([good[0], "X", good[2]]).replace(b'"X"', b'"\xff"'),
    "a_number": lambda good: orjson.dumps([good[0], 1, good[2]]),
    "a_true": lambda good: orjson.dumps([good[0], True, good[2]]),
    "not_a_number": lambda good: orjson.dumps([good[0], "X", good[2]]).replace(b'"X"', b"NaN"),
    "1e400": lambda good: orjson.dumps([good[0], "X", good[2]]).replace(b'"X"', b"1e400"),
}


@pytest.mark.parametrize("case", NAMES)
async def test_a_name_that_none_can_be(door: Door, case: str) -> None:
    """In a list by name the value is text, and text that can be stored."""
    good = unpack(await next_cursor(door, sort="name"))
    params = {"limit": 1, "sort": "name", "cursor": packed(NAMES[case](good))}
    await door.refuses(INVALID, "GET", "/projects", params=params)


OTHERS: dict[str, tuple[Query, Query]] = {
    "another_order": ({"sort": "name"}, {"sort": "created_at"}),
    "the_other_way": ({"sort": "name"}, {"sort": "-name"}),
    "the_usual_order": ({"sort": "created_at"}, {}),
    "a_filter_more": ({}, {"status": "active"}),
    "a_filter_less": ({"status": "active"}, {}),
    "another_filter": ({"status": "active"}, {"status": "archived"}),
}


@pytest.mark.parametrize("case", OTHERS)
async def test_a_cursor_of_another_query_is_refused(door: Door, case: str) -> None:
    """A cursor goes on where its own query stopped, and nowhere else."""
    first, second = OTHERS[case]
    params = {"limit": 1, **second, "cursor": await next_cursor(door, **first)}
    await door.refuses(INVALID, "GET", "/projects", params=params)


async def test_a_cursor_of_another_tenant_is_refused(door: Door) -> None:
    """Neither a stranger nor another list of the same tenant goes on with it."""
    cursor = {"limit": 1, "cursor": await next_cursor(door)}
    await door.refuses(INVALID, "GET", "/projects", caller=door.people.stranger, params=cursor)
    for path in ("/notifications", "/tenants", "/tenants/current/members"):
        await door.refuses(INVALID, "GET", path, params=cursor)
    answer = await door.people.viewer.call("GET", "/projects", params=cursor)
    assert answer.status_code == 200


async def test_a_cursor_of_another_person_is_refused(door: Door) -> None:
    """Where no tenant is selected, a cursor is bound to the person."""
    members = await door.people.owner.call("GET", "/tenants/current/members", params={"limit": 1})
    for path in ("/projects", "/tenants", "/notifications"):
        params = {"cursor": members.json()["next_cursor"]}
        await door.refuses(INVALID, "GET", path, caller=door.people.admin, params=params)
