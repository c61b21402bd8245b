"""Addresses that are none, and requests that trickle: each is a problem, and nothing is half written."""

import asyncio
import contextlib
import json
import uuid

from tests.attacks.conftest import Record
from tests.attacks.site import Site
from tests.attacks.wire import Answer, Wire, head
from tests.support import PASSWORD

ADDRESSES = {
    "320 characters": "x" * 64 + "@" + ("y" * 63 + ".") * 3 + "z" * 59 + ".com",
    "321 characters": "x" * 65 + "@" + ("y" * 63 + ".") * 3 + "z" * 59 + ".com",
    "a line break": "a@example.com\r\nBcc: everybody@example.com",
    "a line break at the end": "a@example.com\r\n",
    "nul": "a\0@example.com",
    "no letters": "@",
    "two": "a@example.com,b@example.com",
    "a name": "Some Body <a@example.com>",
    "bad IDN": "a@xn--\N{SNOWMAN}.com",
    "half a character": "a\ud800@example.com",
    "a script's": '"><script>@example.com',
}
LATE = 15.0
"""Seconds within which two must have passed, on a machine that is busy."""


async def test_addresses_that_are_none(guarded: Site, record: Record) -> None:
    """To register, to sign in, to be invited: refused, and no table has a row more."""
    owner = await guarded.register()
    before, tried = await guarded.state(), 0
    for name, email in ADDRESSES.items():
        person = {"email": email, "password": PASSWORD, "full_name": "X", "tenant_name": "X"}
        answers = [
            await guarded.door(0).call("POST", "/auth/register", body=person),
            await guarded.door(1).call("POST", "/auth/login", body={"email": email, "password": PASSWORD}),
            await guarded.door(0).call("POST", "/auth/password/forgot", body={"email": email}),
            await guarded.door(1).call(
                "POST",
                "/tenants/current/invitations",
                token=owner.token,
                tenant=owner.tenant_id,
                body={"email": email, "role": "viewer"},
            ),
        ]
        assert all(answer.is_refusal for answer in answers), (name, [answer.body for answer in answers])
        tried += len(answers)
    assert await guarded.state() == before
    record(f"bad e-mail addresses: {tried} of {tried} refused, 0 rows written")


async def test_one_account_in_all_spellings(guarded: Site, record: Record) -> None:
    """Upper case and an IDN in both forms are one account, which is registered once."""
    name = uuid.uuid4().hex
    spellings = [
        f"{name}@b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example",
        f"{name.upper()}@xn--bcher-kva.example",
    ]
    spellings.append(spellings[0].upper())
    statuses = []
    for email in spellings:
        person = {"email": email, "password": PASSWORD, "full_name": "X", "tenant_name": "X"}
        statuses.append((await guarded.door(0).call("POST", "/auth/register", body=person)).status)
    assert statuses == [201, 409, 409]
    assert await guarded.value("select count(*) from users where email like :name", name=f"{name}%") == 1
    record(f"one address in {len(spellings)} spellings: 1 account")


async def trickle(door: Wire, first: bytes, rest: bytes) -> tuple[Answer, float]:
    """Send the first part at once and the rest a byte a second; return the answer and when it came."""
    line, loop = await door.open(), asyncio.get_running_loop()
    begun = loop.time()
    line.writer.write(first)

    async def drip() -> None:
        for byte in rest:
            line.writer.write(bytes([byte]))
            await asyncio.sleep(1)

    dripping = asyncio.ensure_future(drip())
    try:
        return await asyncio.wait_for(line.read(), LATE), loop.time() - begun
    finally:
        dripping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await dripping
        line.writer.transport.abort()


async def test_a_request_that_trickles(guarded: Site, record: Record) -> None:
    """A body and a head that come a byte a second are answered 408 after two seconds, and leave no row."""
    owner = await guarded.register()
    before = await guarded.state()
    body = json.dumps({"name": "half written"}).encode()
    whole = head("POST", "/projects", list(owner.headers.items()), body)
    cut = whole.index(b"X-Tenant-ID")
    asked = [(whole, body), (whole[:cut], whole[cut:] + body)] * 2
    found = await asyncio.gather(*(trickle(guarded.door(number), *parts) for number, parts in enumerate(asked)))
    for answer, seconds in found:
        assert (answer.is_refusal, answer.status) == (True, 408), answer.body
        assert seconds >= 1.5
    assert await guarded.state() == before
    record(f"bodies and heads of a byte a second: {len(found)} of {len(found)} refused with 408, 0 rows written")
