"""What is stored of values: no secrets, bounded, and the same digest whichever way it went through the database."""

import asyncio
import datetime as dt
import json
import uuid
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from app.audit.utils import DIGESTED, LARGEST, canonical, entry_digest, storable
from app.core.events import ApplicationEvent
from app.db.engine import to_json
from tests.audit.house import House
from tests.support import Cluster

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.sampled_from([1.0, -0.0, 1e300, 1e-300, 5e-324, 2.0**53, 2.0**60, 2**53 + 1, 2**63 - 1, 2**64, 0.1, 1e16])
    | st.text()
    | st.text(st.characters(codec=None), max_size=5)
    | st.binary(max_size=3)
    | st.uuids()
    | st.datetimes(timezones=st.just(dt.UTC))
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=10
)
SNAPSHOTS = st.dictionaries(st.text(), VALUES, max_size=5)


class Jsonb:
    """PostgreSQL, for a test that is called a hundred times: one connection on a loop of its own."""

    def __init__(self, url: str) -> None:
        self.loop = asyncio.new_event_loop()
        plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self.connection = self.loop.run_until_complete(asyncpg.connect(plain))

    def through(self, value: Any) -> Any:
        """Return a value as it is read back, by the application's way in and the verifier's way out."""
        query = self.connection.fetchval("select ($1::text::jsonb)::text", to_json(value))
        return json.loads(self.loop.run_until_complete(query))

    def close(self) -> None:
        """Close the connection."""
        self.loop.run_until_complete(self.connection.close())
        self.loop.close()


@pytest.fixture(scope="module")
def jsonb(cluster: Cluster) -> Iterator[Jsonb]:
    """Yield the way through the database."""
    found = Jsonb(cluster.url("postgres", "postgres"))
    yield found
    found.close()


@given(snapshot=SNAPSHOTS)
@settings(max_examples=300, deadline=None)
def test_what_is_read_back_has_the_same_digest(jsonb: Jsonb, snapshot: dict[str, Any]) -> None:
    """Every number, text and nesting: jsonb gives back what was stored."""
    stored = storable(snapshot)
    assert canonical(jsonb.through(stored)) == canonical(stored)


@given(snapshot=SNAPSHOTS)
def test_what_was_made_storable_stays(snapshot: dict[str, Any]) -> None:
    """A second time changes nothing."""
    stored = storable(snapshot)
    assert canonical(storable(stored)) == canonical(stored)


def test_secrets_do_not_come_in() -> None:
    """By the name of the key, at any depth, and by the shape of a token."""
    found = storable({"name": "x", "password": "hunter2", "deep": [{"api_key": "k"}], "note": "Bearer abcdefgh"})
    assert found == {
        "name": "x",
        "password": "[redacted]",
        "deep": [{"api_key": "[redacted]"}],
        "note": "Bearer [redacted]",
    }
    assert storable(None) is None


def test_a_snapshot_is_bounded() -> None:
    """A long text is cut, and a snapshot that is large all the same becomes a word of its size."""
    assert len(canonical(storable({"text": "x" * 1_000_000}))) < 5_000
    found = storable({f"n{number}": "x" * 3_000 for number in range(100)})
    assert found is not None
    assert (list(found), len(canonical(found)) < LARGEST) == (["[cut]"], True)
    permissions = [f"p{number}" for number in range(400)]
    assert storable({"permissions": permissions}) == {"permissions": permissions}


@pytest.mark.parametrize("column", DIGESTED)
def test_every_column_is_covered(column: str) -> None:
    """A row with another value in any column has another digest."""
    row: dict[str, Any] = dict.fromkeys(DIGESTED) | {"created_at": dt.datetime.now(dt.UTC)}
    changed = row["created_at"] + dt.timedelta(microseconds=1) if column == "created_at" else "x"
    assert entry_digest(row) != entry_digest({**row, column: changed})


class Odd(ApplicationEvent):
    """Something with values that are no JSON."""

    action = "odd.done"


async def test_what_the_application_writes_is_whole(house: House) -> None:
    """Identifiers, times, and numbers that jsonb would alter, by the way that every event takes."""
    tenant = await house.tenant()
    odd = {"id": uuid.uuid4(), "at": dt.datetime.now(dt.UTC), "n": [1.0, -0.0, 1e300, float("nan"), 2**80], "s": "\0"}
    async with house.work.begin(tenant_id=tenant, actor_id=uuid.uuid4()) as ctx:
        await ctx.track(Odd(before=odd, after={"token": "secret"}))
    await house.sequencer.run_once()
    assert (await house.verify()).entries == 1
    [[before, after]] = await house.sql("select before, after from audit_entries")
    assert (before["n"], after) == ([1, 0, "1e+300", "nan", str(2**80)], {"token": "[redacted]"})


async def test_it_stands_in_the_row(house: House) -> None:
    """The address of who asked, the clock of the application, and a digest."""
    tenant = await house.tenant()
    begun = dt.datetime.now(dt.UTC)
    await house.write(tenant)
    [row] = await house.sql("select * from audit_entries")
    assert row.address == "::1"
    assert begun <= row.created_at <= dt.datetime.now(dt.UTC)
    assert len(row.digest) == 64
