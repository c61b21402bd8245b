"""What may happen once happens once, however many hands there are; and no tenant loses its last owner."""

import asyncio
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable

from tests.attacks.conftest import Record
from tests.attacks.site import Site
from tests.attacks.wire import Answer, Wire
from tests.support import PASSWORD, Caller, Team, join

RACERS, ROUNDS, TIMES = 20, 50, 5
OWNERS = "select count(*) from memberships where tenant_id = :tenant and role = 'owner'"
MEMBERS = "select count(*) from memberships where tenant_id = :tenant and user_id = :user"


async def all_at_once(site: Site, ask: Callable[[Wire], Awaitable[Answer]]) -> list[Answer]:
    """Ask twenty times at once, on both processes; each answer is good or blames the client."""
    answers = await asyncio.gather(*(ask(site.door(number)) for number in range(RACERS)))
    for answer in answers:
        assert answer.status < 300 or answer.is_refusal, answer.body
    return answers


def leave(door: Wire, one: Caller, _: Caller) -> Awaitable[Answer]:
    """Leave."""
    return door.call("POST", "/tenants/current/leave", token=one.token, tenant=one.tenant_id)


def demote(door: Wire, one: Caller, other: Caller) -> Awaitable[Answer]:
    """Make the other a viewer."""
    path, body = f"/tenants/current/members/{other.user_id}", {"role": "viewer"}
    return door.call("PATCH", path, token=one.token, tenant=one.tenant_id, body=body)


def remove(door: Wire, one: Caller, other: Caller) -> Awaitable[Answer]:
    """Take the other out."""
    path = f"/tenants/current/members/{other.user_id}"
    return door.call("DELETE", path, token=one.token, tenant=one.tenant_id)


WAYS = [leave, demote, remove]
PAIRS = [(one, other) for one in WAYS for other in WAYS]


async def test_an_owner_is_always_left(site: Site, record: Record) -> None:
    """Two owners leave, demote and remove each other at once: one is left, each time."""
    one, other = await site.register(), await site.register()
    tenant = one.tenant_id
    seen: Counter[int] = Counter()
    for number in range(ROUNDS):
        pair = [await join(site.cluster, site.database, who, tenant, "owner") for who in (one, other)]
        first, second = PAIRS[number % len(PAIRS)]
        answers = await asyncio.gather(
            first(site.door(number), pair[0], pair[1]), second(site.door(number + 1), pair[1], pair[0])
        )
        assert await site.value(OWNERS, tenant=tenant) == 1, (first, second, answers)
        assert 200 in [answer.status for answer in answers], answers
        seen.update(answer.status for answer in answers if answer.is_refusal)
    assert seen
    record(f"last owner race 2 owners x {ROUNDS}: 1 owner left each time; {seen.total()} of {2 * ROUNDS} refused")


async def test_one_invitation_is_one_place(site: Site, record: Record) -> None:
    """Twenty accept one invitation, with an account and without: one place, one account, nineteen refusals."""
    owner = await site.register()
    refused = 0
    for number in range(TIMES):
        known = await site.register() if number % 2 else None
        if known:
            proven = "update users set email_verified_at = now() where id = :user returning 1"
            await site.rows(proven, user=known.user_id)
        email = known.email if known else f"{uuid.uuid4().hex}@example.com"
        invite = {"email": email, "role": "member"}
        sent = await site.door(number).call(
            "POST", "/tenants/current/invitations", token=owner.token, tenant=owner.tenant_id, body=invite
        )
        assert sent.status == 201
        (token,) = await site.mails.links(email, kind="gpi_")
        body = {"token": token} | ({} if known else {"full_name": "New", "password": PASSWORD})

        def accept(door: Wire, body: dict[str, str] = body) -> Awaitable[Answer]:
            return door.call("POST", "/invitations/accept", body=body)

        answers = await all_at_once(site, accept)
        assert [answer.status for answer in answers].count(200) == 1, answers
        refused += sum(answer.is_refusal for answer in answers)
        user = await site.value("select id from users where email = :email", email=email)
        assert await site.value(MEMBERS, tenant=owner.tenant_id, user=user) == 1
    assert refused == TIMES * (RACERS - 1)
    record(f"one invitation, {RACERS} at once x {TIMES}: {TIMES} places, {refused} refused")


async def test_one_reset_link_is_one_password(site: Site, record: Record) -> None:
    """Twenty use one link, each with a password of their own: the one who was told 200 can sign in with it."""
    refused = 0
    for number in range(TIMES):
        email = (await site.register()).email
        await site.mails.links(email, kind="gpl_")  # the one that verifies has come: mails overtake each other
        assert (await site.door(number).call("POST", "/auth/password/forgot", body={"email": email})).status == 202
        token = (await site.mails.links(email, 2, kind="gpl_"))[-1]
        words = [f"eleven green kettles {racer}" for racer in range(RACERS)]
        answers = await asyncio.gather(
            *(
                site.door(racer).call("POST", "/auth/password/reset", body={"token": token, "new_password": word})
                for racer, word in enumerate(words)
            )
        )
        won = [word for word, answer in zip(words, answers, strict=True) if answer.status == 200]
        assert len(won) == 1, answers
        refused += sum(answer.code == "link_refused" for answer in answers)
        for word, status in ((won[0], 200), (PASSWORD, 401), (next(word for word in words if word not in won), 401)):
            body = {"email": email, "password": word}
            assert (await site.door(number).call("POST", "/auth/login", body=body)).status == status
    assert refused == TIMES * (RACERS - 1)
    record(f"one reset link, {RACERS} at once x {TIMES}: {TIMES} passwords set, {refused} refused")


async def test_one_key_is_one_project(site: Site, record: Record) -> None:
    """Twenty send one request with one Idempotency-Key: one project, and every good answer names it."""
    owner = await site.register()
    replayed = busy = 0
    for number in range(TIMES):
        lines = [("Idempotency-Key", f"race-{number}")]
        body = {"name": f"race {number}"}

        def create(door: Wire, lines: list[tuple[str, str]] = lines, body: dict[str, str] = body) -> Awaitable[Answer]:
            return door.call("POST", "/projects", token=owner.token, tenant=owner.tenant_id, headers=lines, body=body)

        answers = await all_at_once(site, create) + [await create(site.door(number))]
        good = [answer for answer in answers if answer.status == 201]
        assert len({answer.json["id"] for answer in good}) == 1
        assert {answer.status for answer in answers} <= {201, 409}
        assert answers[-1].status == 201
        replayed, busy = replayed + len(good) - 1, busy + len(answers) - len(good)
    assert await site.value("select count(*) from projects where tenant_id = :tenant", tenant=owner.tenant_id) == TIMES
    record(
        f"one Idempotency-Key, {RACERS} at once x {TIMES}: {TIMES} projects, {replayed} replays, {busy} told to wait"
    )


async def test_one_address_is_invited_once(site: Site, record: Record) -> None:
    """Twenty invitations to one address at once, in all its spellings: one is open, one mail is sent."""
    team: Team = await site.team()
    email = f"{uuid.uuid4().hex}@example.com"
    spellings = [email, email.upper(), email.capitalize()]
    answers = await asyncio.gather(
        *(
            site.door(number).call(
                "POST",
                "/tenants/current/invitations",
                token=team.owner.token,
                tenant=team.owner.tenant_id,
                body={"email": spellings[number % 3], "role": "viewer"},
            )
            for number in range(RACERS)
        )
    )
    assert sorted(answer.status for answer in answers) == [201] + [409] * (RACERS - 1)
    assert await site.value("select count(*) from invitations where email = :email", email=email) == 1
    assert len(await site.mails.links(email, kind="gpi_")) == 1
    record(f"one address invited {RACERS} times at once: 1 invitation, {RACERS - 1} refused")
