"""Whose turn it is: what the relay claims when tenants have more waiting than the broker takes."""

import datetime as dt
import re
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.core.deliveries import Post

TENANTS = """
    insert into tenants (id, name, version) select gen_random_uuid(), 'busy', 1 from generate_series(1, :count)
    returning id
"""
WAITING = """
    with added as (
        insert into outbox_entries (
            tenant_id, id, kind, name, queue, status, version, payload, request_id, address, attempts, max_attempts,
            dispatches, due_at
        )
        select tenant_id, gen_random_uuid(), 'task', 'a.task', 'default', 'queued', 1, '{}', '', '', 0, 1, 0,
            now() - interval '1 hour' * :hours
        from unnest(cast(:tenants as uuid[])) as tenant_id, generate_series(1, :count)
        returning 1
    )
    select count(*) from added
"""


@pytest.mark.parametrize(("busy", "each"), [(1, 20_000), (7, 300)])
async def test_a_newcomer_is_in_the_first_round(post: Post, busy: int, each: int) -> None:
    """Whether one tenant has twenty thousand entries waiting for an hour, or seven would fill the broker alone."""
    *others, newcomer = [str(row.id) for row in await post.rows(TENANTS, count=busy + 1)]
    await post.rows(WAITING, tenants=others, count=each, hours=1)
    await post.rows(WAITING, tenants=[newcomer], count=1, hours=0)
    relay = post.relay()
    assert await relay.send_due() == min(busy * 200, 999) + 1
    taken = Counter(str(ticket.tenant_id) for ticket in post.sent)
    assert taken.pop(newcomer) == 1
    assert set(taken) == set(others)
    assert max(taken.values()) - min(taken.values()) <= 1


async def test_room_goes_to_who_has_least_under_way(post: Post) -> None:
    """Of two tenants with older entries, a third one's, and four rooms: what each has in the broker counts."""
    many, some, new = [str(row.id) for row in await post.rows(TENANTS, count=3)]
    await post.rows(WAITING, tenants=[many], count=10, hours=2)
    await post.relay(in_flight_tenant=6).send_due()
    await post.rows(WAITING, tenants=[some], count=10, hours=1)
    await post.rows(WAITING, tenants=[new], count=1, hours=0)
    post.sent.clear()
    await post.relay(in_flight=10).send_due()
    assert Counter(str(ticket.tenant_id) for ticket in post.sent) == {some: 3, new: 1}


async def test_what_the_documentation_asks_is_answered(post: Post) -> None:
    """As the relay: how many wait, by queue, and how long the oldest of them has."""
    page = Path(__file__).parents[2] / "docs" / "scaling.md"
    _, question, _ = re.split(r"```(?:sql)?\n", page.read_text(), maxsplit=2)
    (tenant,) = [str(row.id) for row in await post.rows(TENANTS, count=1)]
    await post.rows(WAITING, tenants=[tenant], count=3, hours=2)
    async with post.relay_engine.connect() as connection:
        (row,) = (await connection.execute(text(question))).all()
    queue, status, count, waits = row
    assert (queue, status, count) == ("default", "queued", 3)
    assert waits >= dt.timedelta(hours=2)


@pytest.mark.parametrize(("places", "sent"), [(3, {"high": 2, "default": 1}), (9, {"high": 2, "default": 2, "low": 1})])
async def test_the_first_queue_goes_first(post: Post, places: int, sent: dict[str, int]) -> None:
    """Two of each queue may be under way; a transport with fewer places is given the first queue's."""
    (tenant,) = [str(row.id) for row in await post.rows(TENANTS, count=1)]
    await post.rows(WAITING, tenants=[tenant], count=9, hours=1)
    for queue, count in [("high", 3), ("low", 1)]:
        some = "id in (select id from outbox_entries where queue = 'default' limit :count)"
        moved = f"update outbox_entries set queue = :queue where {some} returning 1"
        await post.rows(moved, queue=queue, count=count)
    await post.relay(Narrow(post, places), in_flight=2).send_due()
    assert Counter(ticket.queue for ticket in post.sent) == sent


class Narrow:
    """A transport with fewer places than the post's."""

    def __init__(self, post: Post, places: int) -> None:
        self.places, self.send, self.missing = places, post.send, post.missing

    def room(self) -> int:
        """Return how many more tickets it takes."""
        return self.places
