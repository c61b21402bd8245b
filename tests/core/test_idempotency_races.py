"""One key, many requests at once; and processes that die between commit and answer."""

import asyncio
import datetime as dt
import signal
import sys
import uuid
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest
from httpx2 import AsyncClient, HTTPError, Response

from app.core.context import Context
from app.db.migrations import ROOT
from app.modules.projects.schemas import ProjectCreate
from app.modules.projects.services import ProjectService
from tests.core.conftest import Stage
from tests.support import PASSWORD, Caller, Cluster

AT_ONCE = 20


async def names(caller: Caller) -> list[str]:
    """Return the names of the tenant's projects."""
    return [project["name"] for project in (await caller.call("GET", "/projects")).json()["items"]]


async def together(call: Callable[[], Awaitable[Response]]) -> list[Response]:
    """Return the answers to the same request, sent many times at once."""
    return list(await asyncio.gather(*(call() for _ in range(AT_ONCE))))


def one_was_carried_out(answers: list[Response]) -> None:
    """Check that one request was, and that the others got its answer or were told to wait."""
    fresh = [one for one in answers if one.is_success and "idempotency-replayed" not in one.headers]
    assert [one.status_code for one in fresh] == [201]
    for other in (one for one in answers if one is not fresh[0]):
        if other.status_code == 201:
            assert other.content == fresh[0].content
        else:
            assert (other.status_code, other.json()["code"]) == (409, "idempotency_in_flight")
            assert other.headers["retry-after"] == "1"


async def test_of_many_with_one_key_one_is_carried_out(owner: Caller) -> None:
    """The others get its answer, or are told to come back; then they get it."""
    key, body = {"Idempotency-Key": str(uuid.uuid4())}, {"name": "once"}
    one_was_carried_out(await together(lambda: owner.call("POST", "/projects", json=body, headers=key)))
    again = await together(lambda: owner.call("POST", "/projects", json=body, headers=key))
    assert {(answer.status_code, answer.headers["idempotency-replayed"]) for answer in again} == {(201, "true")}
    assert await names(owner) == ["once"]


async def test_of_many_new_tenants_one_is_made(owner: Caller) -> None:
    """Each racer would write its row into a tenant of its own."""
    key = {"Idempotency-Key": str(uuid.uuid4())}
    one_was_carried_out(await together(lambda: owner.call("POST", "/tenants", json={"name": "new"}, headers=key)))
    assert len((await owner.call("GET", "/tenants")).json()["items"]) == 2


async def test_of_many_registrations_one_is_made(client: AsyncClient, cluster: Cluster, database: str) -> None:
    """Nobody holds a lock while passwords are hashed: who loses against a twin gets the twin's answer."""
    key = {"Idempotency-Key": str(uuid.uuid4())}
    body = {"email": f"{uuid.uuid4().hex}@example.com", "password": PASSWORD, "full_name": "A", "tenant_name": "A"}
    answers = await together(lambda: client.post("/auth/register", json=body, headers=key))
    one_was_carried_out(answers)
    assert {answer.status_code for answer in answers} == {201}
    made = await cluster.rows(database, "select 1 from users where email = :email", email=body["email"])
    assert len(made) == 1
    taken = await client.post("/auth/register", json=body, headers={"Idempotency-Key": str(uuid.uuid4())})
    assert (taken.status_code, taken.json()["code"]) == (409, "email_taken")


async def test_who_comes_while_the_first_is_worked_on_waits_for_nobody(stage: Stage, owner: Caller) -> None:
    """409 with Retry-After at once, although the view stands still; another key goes on."""
    key, other = ({"Idempotency-Key": str(uuid.uuid4())} for _ in range(2))
    entered, go = asyncio.Event(), asyncio.Event()

    async def step(_: Context) -> None:
        if not entered.is_set():
            entered.set()
            await go.wait()

    async with stage(owner, step) as caller:
        first = asyncio.create_task(caller.call("POST", "/trial", headers=key))
        await entered.wait()
        refused = await caller.call("POST", "/trial", headers=key)
        assert (refused.status_code, refused.json()["code"]) == (409, "idempotency_in_flight")
        assert refused.headers["retry-after"] == "1"
        assert (await caller.call("POST", "/trial", headers=other)).status_code == 200
        go.set()
        assert (await first).status_code == 200
        assert (await caller.call("POST", "/trial", headers=key)).headers["idempotency-replayed"] == "true"


async def test_who_was_not_seen_is_stopped_by_the_constraint(
    stage: Stage, owner: Caller, cluster: Cluster, database: str
) -> None:
    """A twin's row that appears after the look: 409, the work is undone and the view not run again."""
    key, runs = {"Idempotency-Key": str(uuid.uuid4())}, 0

    async def as_twin(generation: int, days: int) -> None:
        change = "update idempotency_keys set generation = :generation, created_at = now() - cast(:age as interval)"
        values = {"generation": generation, "age": dt.timedelta(days=days), "id": owner.user_id}
        await cluster.rows(database, f"{change} where actor_id = :id returning 1", **values)

    async def step(ctx: Context) -> None:
        nonlocal runs
        runs += 1
        await ProjectService(ctx).create(ProjectCreate(name=f"run {runs}"))
        if runs == 2:
            await as_twin(2, 0)

    async with stage(owner, step) as caller:
        assert (await caller.call("POST", "/trial", headers=key)).status_code == 200
        await as_twin(1, 2)
        refused = await caller.call("POST", "/trial", headers=key)
        assert (refused.status_code, refused.json()["code"]) == (409, "idempotency_in_flight")
        assert (await caller.call("POST", "/trial", headers=key)).headers["idempotency-replayed"] == "true"
    assert runs == 2
    assert await names(owner) == ["run 1"]


@pytest.fixture
async def doomed(cluster: Cluster, database: str) -> AsyncIterator[tuple[AsyncClient, asyncio.subprocess.Process]]:
    """Run a server that kills itself; yield a client of it, and its process."""
    command = (sys.executable, "-m", "tests.core.doomed", cluster.url("app_rw", database))
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=PIPE)
    assert process.stdout is not None
    port = int(await process.stdout.readline())
    async with AsyncClient(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=30) as client:
        yield client, process
    if process.returncode is None:
        process.kill()
    await process.wait()


async def test_a_process_that_dies_after_the_commit_leaves_the_answer(
    doomed: tuple[AsyncClient, asyncio.subprocess.Process], owner: Caller
) -> None:
    """Killed with the first byte of its 201: what is sent again, to another process, gets that 201."""
    away, process = doomed
    key, body = {"Idempotency-Key": str(uuid.uuid4())}, {"name": "once"}
    with pytest.raises(HTTPError):
        await replace(owner, client=away).call("POST", "/projects", json=body, headers=key)
    assert await process.wait() == -signal.SIGKILL
    answer = await owner.call("POST", "/projects", json=body, headers=key)
    assert (answer.status_code, answer.headers["idempotency-replayed"]) == (201, "true")
    assert answer.headers["etag"] == '"1"'
    shown = await owner.call("GET", f"/projects/{answer.json()['id']}")
    assert shown.json() == answer.json()
    assert await names(owner) == ["once"]


async def test_a_process_that_dies_before_the_commit_leaves_nothing(
    doomed: tuple[AsyncClient, asyncio.subprocess.Process], stage: Stage, owner: Caller
) -> None:
    """Killed in the view: neither the change nor the key is there, and what is sent again is carried out."""
    away, process = doomed
    key = {"Idempotency-Key": str(uuid.uuid4())}
    with pytest.raises(HTTPError):
        await replace(owner, client=away).call("POST", "/trial", headers=key)
    assert await process.wait() == -signal.SIGKILL
    assert await names(owner) == []

    async def step(ctx: Context) -> None:
        await ProjectService(ctx).create(ProjectCreate(name="found"))

    async with stage(owner, step) as caller, asyncio.timeout(60):
        while (answer := await caller.call("POST", "/trial", headers=key)).status_code == 409:
            assert answer.json()["code"] == "idempotency_in_flight"
    assert answer.status_code == 200
    assert "idempotency-replayed" not in answer.headers
    assert await names(owner) == ["found"]
