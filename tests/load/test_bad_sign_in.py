"""Who one says to be, and for which tenant: everything that is not exactly right is refused."""

import json
import uuid

import jwt
import pytest

from app.db.tenancy import SYSTEM_TENANT_ID
from tests.load.door import Digests, Door
from tests.load.forged import HEADER, NOBODY, TOKENS, Claims, signed
from tests.support import sign_in


def good_claims(door: Door) -> Claims:
    """Return the claims of the owner's own token."""
    claims: Claims = jwt.decode(door.people.owner.token, options={"verify_signature": False})
    return claims


def as_token(door: Door, token: str) -> list[tuple[str, str]]:
    """Return the owner's header lines with another token in them."""
    return [("Authorization", f"Bearer {token}"), ("X-Tenant-ID", str(door.people.owner.tenant_id))]


async def test_the_forger_knows_the_form(door: Door) -> None:
    """A token made here with the right key and all claims is accepted: what is refused below is so for one reason."""
    token = signed(HEADER, good_claims(door))
    answer = await door.client.get("/projects", headers=as_token(door, token))
    assert answer.status_code == 200


@pytest.mark.parametrize("case", TOKENS)
async def test_a_token_that_is_not_exactly_right_is_refused(door: Door, case: str) -> None:
    """Forged, expired, of another type or with another key: 401, and not a word about which of them."""
    token = TOKENS[case](good_claims(door)).encode("utf-8", "replace")
    headers = [(b"Authorization", b"Bearer " + token), (b"X-Tenant-ID", str(door.people.owner.tenant_id).encode())]
    right = (401, "unauthenticated")
    refusal = await door.refuses(right, "POST", "/projects", headers=headers, json={"name": case})  # type: ignore[arg-type]
    assert refusal.headers["www-authenticate"] == "Bearer"
    assert refusal.problem["detail"] == "Sign in first: the access token is missing, expired or not valid."


async def test_a_session_is_its_owners(door: Door) -> None:
    """A token that names the session of somebody else is refused, although both are good."""
    owner, other = good_claims(door), jwt.decode(door.people.admin.token, options={"verify_signature": False})
    for claims in ({**owner, "sid": other["sid"]}, {**owner, "sub": other["sub"]}):
        token = signed(HEADER, claims)
        await door.refuses((401, "unauthenticated"), "GET", "/projects", headers=as_token(door, token))


SCHEMES = {
    "missing": [],
    "empty": [""],
    "no_scheme": ["{token}"],
    "basic": ["Basic {token}"],
    "bearer_glued": ["Bearer{token}"],
    "two_blanks": ["Bearer  {token}"],
    "a_tab": ["Bearer\t{token}"],
    "doubled": ["Bearer {token}", "Bearer {token}"],
    "joined": ["Bearer {token}, Bearer {token}"],
    "second_is_nonsense": ["Bearer {token}", "nonsense"],
}


@pytest.mark.parametrize("case", SCHEMES)
async def test_the_token_is_sent_in_one_way(door: Door, case: str) -> None:
    """One Authorization header with the scheme Bearer; the good token sent otherwise is none."""
    lines = [("Authorization", form.format(token=door.people.owner.token)) for form in SCHEMES[case]]
    lines.append(("X-Tenant-ID", str(door.people.owner.tenant_id)))
    await door.refuses((401, "unauthenticated"), "GET", "/projects", headers=lines)
    query = {"access_token": door.people.owner.token}
    await door.refuses((401, "unauthenticated"), "GET", "/projects", headers=lines, params=query)


TENANT = "{tenant}"
TENANTS: dict[str, tuple[list[str], tuple[int, str]]] = {
    name: (values, (400, "tenant_header"))
    for name, values in {
        "missing": [],
        "empty": [""],
        "malformed": ["acme"],
        "doubled": [TENANT, TENANT],
        "doubled_with_another": [TENANT, NOBODY],
        "joined": [TENANT + "," + TENANT],
        "braces": ["{{" + TENANT + "}}"],
        "urn": ["urn:uuid:" + TENANT],
        "padded_inside": [TENANT + " "],
        "with_nul": [TENANT + "\0"],
        "with_a_line_break": [TENANT + "\r\nX-Admin: 1"],
        "sql": [TENANT + "'; reset role; --"],
        "2_to_63": ["9223372036854775808"],
        "very_long": ["0" * 100_000],
        "a_star": ["*"],
    }.items()
} | {
    "nobodys": ([NOBODY], (404, "tenant_not_found")),
    "nil": ([str(uuid.UUID(int=0))], (404, "tenant_not_found")),
    "the_systems": ([str(SYSTEM_TENANT_ID)], (404, "tenant_not_found")),
    "foreign": (["{foreign}"], (404, "tenant_not_found")),
}


@pytest.mark.parametrize("case", TENANTS)
async def test_the_tenant_is_named_once_and_is_ones_own(door: Door, case: str) -> None:
    """Malformed, missing or doubled is 400; one that is not the caller's is 404, be it there or not."""
    values, right = TENANTS[case]
    owner, stranger = door.people.owner, door.people.stranger
    filled = [value.format(tenant=owner.tenant_id, foreign=stranger.tenant_id) for value in values]
    lines = [("Authorization", f"Bearer {owner.token}"), *(("X-Tenant-ID", value) for value in filled)]
    targets = [("GET", "/projects"), ("POST", "/projects"), ("PATCH", door.path), ("DELETE", door.path)]
    for method, path in targets:
        refusal = await door.refuses(right, method, path, headers=lines, json={"name": case})
        assert str(stranger.tenant_id) not in json.dumps(refusal.problem)


@pytest.mark.parametrize("value", [b"\xff" * 36, b"\xed\xa0\x80", b"\0"], ids=["latin", "surrogate", "nul"])
async def test_a_tenant_that_is_no_text(door: Door, value: bytes) -> None:
    """Bytes that no client library would send are refused alone, and as a second line beside the good one."""
    token, tenant = door.signed()
    for first in (None, [token]):
        lines = [(b"x-tenant-id", value)]
        await door.refuses_raw((400, "tenant_header"), "GET", "/projects", headers=lines, sign_in=first)
    for first in (None, [tenant]):
        lines = [(b"authorization", b"Bearer " + value)]
        await door.refuses_raw((401, "unauthenticated"), "GET", "/projects", headers=lines, sign_in=first)


async def test_an_access_token_is_no_refresh_token(door: Door) -> None:
    """It is refused where a refresh token is asked for."""
    owner = door.people.owner
    await door.refuses((401, "refresh_refused"), "POST", "/auth/refresh", json={"refresh_token": owner.token})


async def test_a_refresh_token_is_no_access_token(unlocked: Door, seen: list[Digests]) -> None:
    """It is no sign-in; to get one adds a session, so nobody looks behind the door here."""
    seen.clear()
    tokens = await sign_in(unlocked.client, unlocked.people.owner.email)
    lines = as_token(unlocked, tokens["refresh_token"])
    await unlocked.refuses((401, "unauthenticated"), "GET", "/projects", headers=lines)


REQUEST_IDS = ["", " ", "x" * 65, "a b", "a\0b", "a\r\nSet-Cookie: x", "{}", "<script>", "\N{SNOWMAN}", "a,b"]


async def test_a_request_id_that_is_none_is_not_echoed(door: Door) -> None:
    """The answer then has an id of our own, the same in body and header."""
    for value in REQUEST_IDS:
        line = (b"x-request-id", value.encode())
        refusal = await door.refuses_raw((404, "not_found"), "GET", "/nowhere", headers=[line])
        assert refusal.problem["request_id"] not in {value, ""}
