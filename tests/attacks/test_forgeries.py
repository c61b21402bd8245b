"""Forged, altered, foreign and mistaken tokens: each is refused, and none makes the server fail."""

import base64
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jwt
import pytest

from tests.attacks.conftest import Record
from tests.attacks.site import Site
from tests.attacks.wire import Answer, Lines, Wire
from tests.load.forged import HEADER, TOKENS, signed
from tests.support import Caller, sign_in


@dataclass(frozen=True)
class Loot:
    """One living token of every kind, all of one owner, and somebody else with a tenant of their own."""

    owner: Caller
    stranger: Caller
    tokens: dict[str, str]
    project: str


@pytest.fixture(scope="package")
async def loot(site: Site) -> Loot:
    """Collect the tokens; none of the attacks uses one up."""
    owner, stranger = await site.register(), await site.register()
    door, who = site.door(0), {"token": owner.token, "tenant": owner.tenant_id}
    project = (await owner.create_project())["id"]
    await owner.create_project()
    key = await owner.call("POST", "/tenants/current/api-keys", json={"name": "k", "permissions": ["projects.read"]})
    guest = f"{uuid.uuid4().hex}@example.com"
    await owner.call("POST", "/tenants/current/invitations", json={"email": guest, "role": "viewer"})
    await site.mails.links(owner.email, kind="gpl_")  # the one that verifies has come: mails overtake each other
    await door.call("POST", "/auth/password/forgot", body={"email": owner.email})
    verify, reset = await site.mails.links(owner.email, 2, kind="gpl_")
    page = await door.call("GET", "/projects", params={"limit": "1"}, **who)  # type: ignore[arg-type]
    tokens = {
        "access": owner.token,
        "refresh": (await sign_in(site.client, owner.email))["refresh_token"],
        "key": key.json()["key"],
        "invitation": (await site.mails.links(guest, kind="gpi_"))[0],
        "reset": reset,
        "verify": verify,
        "cursor": page.json["next_cursor"],
        "request id": page.headers["x-request-id"],
        "tenant": str(owner.tenant_id),
        "garbage": "\N{SNOWMAN} ' or 1=1 -- \x7f",
    }
    return Loot(owner, stranger, tokens, project)


async def test_forged_access_tokens(site: Site, loot: Loot, record: Record) -> None:
    """Wrong in one thing each: algorithm, key, header, claim, time, session, form; on both processes."""
    claims: dict[str, Any] = jwt.decode(loot.owner.token, options={"verify_signature": False})
    other = jwt.decode(loot.stranger.token, options={"verify_signature": False})
    assert (await bearer(site.door(0), loot, signed(HEADER, claims))).status == 200, "the forger knows the form"
    forged = {name: make(claims) for name, make in TOKENS.items()}
    forged |= {
        "session of another": signed(HEADER, {**claims, "sid": other["sid"]}),
        "another with this session": signed(HEADER, {**claims, "sub": other["sub"]}),
    }
    for number, (name, token) in enumerate(forged.items()):
        answer = await bearer(site.door(number), loot, token)
        assert answer.is_refusal, (name, answer.body)
        assert answer.status in ({401, 431} if len(token) > 30_000 else {401}), (name, answer.body)
    record(f"forged access tokens: {len(forged)} of {len(forged)} refused")


async def bearer(door: Wire, loot: Loot, token: str) -> Answer:
    """Ask for the projects with a token."""
    return await door.call("GET", "/projects", token=token, tenant=loot.owner.tenant_id)


async def test_tokens_in_the_wrong_place(site: Site, loot: Loot, record: Record) -> None:
    """A good token sent twice, beside another, in the query or in a cookie is none."""
    good, tenant = ("Authorization", f"Bearer {loot.owner.token}"), ("X-Tenant-ID", str(loot.owner.tenant_id))
    stranger = ("Authorization", f"Bearer {loot.stranger.token}")
    cases: list[tuple[Lines, dict[str, str] | None]] = [
        ([good, good, tenant], None),
        ([good, stranger, tenant], None),
        ([stranger, good, tenant], None),
        ([("Authorization", f"{good[1]}, {good[1]}"), tenant], None),
        ([("Cookie", f"access_token={loot.owner.token}"), tenant], None),
        ([tenant], {"access_token": loot.owner.token}),
        ([tenant], {"token": loot.owner.token}),
    ]
    for number, (lines, params) in enumerate(cases):
        answer = await site.door(number).call("GET", "/projects", headers=lines, params=params)
        assert (answer.is_refusal, answer.status) == (True, 401), (lines, answer.body)
    record(f"tokens doubled or out of place: {len(cases)} of {len(cases)} refused")


def altered(token: str) -> Iterator[str]:
    """Yield a token with a letter changed, cut, longer, in another case, under another prefix."""
    start = token.index("_") + 1
    for place in (start, (start + len(token)) // 2, len(token) - 2):
        yield token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
    yield from (token[:-1], token + "A", token.swapcase(), token[start:], f" {token}", f"{token}\0")
    yield from (prefix + token[start:] for prefix in ("gpk_", "gpi_", "gpl_", "gpr_") if not token.startswith(prefix))


def transplanted(token: str, tenant: uuid.UUID) -> Iterator[str]:
    """Yield a token that names another tenant, or has another secret, with a checksum that is right."""
    raw = base64.urlsafe_b64decode(token[4:] + "=" * (-len(token[4:]) % 4))[:-4]
    for body in (tenant.bytes + raw[16:], raw[:16] + bytes(32), raw[:-1] + bytes([raw[-1] ^ 1])):
        yield token[:4] + base64.urlsafe_b64encode(body + zlib.crc32(body).to_bytes(4)).decode().rstrip("=")


async def test_altered_secrets(site: Site, loot: Loot, record: Record) -> None:
    """Keys, invitations, links and refresh tokens with anything changed are unknown; the real ones still work."""
    for kind in ("key", "invitation", "reset", "verify", "refresh"):
        token = loot.tokens[kind]
        forged = list(altered(token))
        if kind in {"key", "invitation"}:
            forged += transplanted(token, loot.stranger.tenant_id)
        for number, one in enumerate(forged):
            answer = await use(site.door(number), loot, kind, one)
            assert answer.is_refusal, (kind, one, answer.body)
        record(f"altered tokens of the kind {kind}: {len(forged)} of {len(forged)} refused")
    assert (await use(site.door(0), loot, "key", loot.tokens["key"])).status == 200


PLACES = ["access", "key", "refresh", "invitation", "reset", "verify", "cursor", "tenant", "path", "session"]


async def use(door: Wire, loot: Loot, place: str, value: str) -> Answer:
    """Send a value in a place where a token of some kind belongs."""
    who: dict[str, Any] = {"token": loot.owner.token, "tenant": loot.owner.tenant_id}
    page = {"limit": "1", "cursor": value}
    asks: dict[str, tuple[str, str, dict[str, Any]]] = {
        "access": ("GET", "/users/me", {"token": value}),
        "key": ("GET", "/projects", {"token": value}),
        "refresh": ("POST", "/auth/refresh", {"body": {"refresh_token": value}}),
        "invitation": ("POST", "/invitations/accept", {"body": {"token": value}}),
        "reset": ("POST", "/auth/password/reset", {"body": {"token": value, "new_password": "eleven green kettles"}}),
        "verify": ("POST", "/auth/email/verify", {"body": {"token": value}}),
        "cursor": ("GET", "/projects", who | {"params": page}),
        "tenant": ("GET", "/projects", who | {"tenant": value}),
        "path": ("GET", f"/projects/{value}", who),
        "session": ("DELETE", f"/auth/sessions/{value}", {"token": loot.owner.token}),
    }
    method, path, rest = asks[place]
    return await door.call(method, path, **rest)


async def test_no_token_stands_in_for_another(site: Site, loot: Loot, record: Record) -> None:
    """Every kind of token in the place of every other is a problem that blames the client, and none is used up."""
    tried = 0
    for kind, value in loot.tokens.items():
        for place in PLACES:
            if kind == place:
                continue
            answer = await use(site.door(tried), loot, place, value)
            assert answer.is_refusal, (kind, place, answer.status, answer.body)
            tried += 1
    for kind in ("access", "key", "cursor", "tenant", "verify", "refresh"):
        assert (await use(site.door(0), loot, kind, loot.tokens[kind])).status == 200, kind
    record(f"type confusion: {tried} of {tried} refused")


async def test_nothing_of_another_tenant_is_replayed(site: Site, loot: Loot, record: Record) -> None:
    """A cursor of another tenant is refused, and its Idempotency-Key is a new one here."""
    other: dict[str, Any] = {"token": loot.stranger.token, "tenant": loot.stranger.tenant_id}
    cursor = {"limit": "1", "cursor": loot.tokens["cursor"]}
    for door in site.doors:
        answer = await door.call("GET", "/projects", params=cursor, **other)
        assert (answer.is_refusal, answer.status) == (True, 400)
    lines, body = [("Idempotency-Key", "mine")], {"name": "of the first"}
    mine: dict[str, Any] = {"token": loot.owner.token, "tenant": loot.owner.tenant_id}
    first = await site.door(0).call("POST", "/projects", headers=lines, body=body, **mine)
    second = await site.door(1).call("POST", "/projects", headers=lines, body=body, **other)
    third = await site.door(1).call(
        "POST", "/projects", headers=lines, body=body, **(mine | {"tenant": other["tenant"]})
    )
    assert (first.status, second.status, third.status) == (201, 201, 404)
    assert first.json["id"] != second.json["id"]
    record("cursor and Idempotency-Key of another tenant: 3 of 3 refused, 0 answers replayed")
