"""What failed for good, over HTTP: seen, tried again, given up; and how tasks and deliveries are shown."""

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from app.db.tenancy import SYSTEM_TENANT_ID
from tests.support import Caller, Cluster, Team

Bury = Callable[..., Awaitable[str]]
HANDLER = "notifications.projects.notify_of_created_project"

INSERT = """
    insert into outbox_entries (
        tenant_id, id, kind, name, queue, status, action, version, payload, actor_id, request_id, address, unique_key,
        depends_on, attempts, max_attempts, dispatches, error, finished_at, event_id
    ) values (
        :tenant, gen_random_uuid(), :kind, :name, 'default', :status, :action, 1, cast(:payload as jsonb), :actor, 'r',
        '', :key, cast(:parents as uuid[]), 3, 3, 3, 'it broke', now(), :event
    ) returning cast(id as text)
"""


@pytest.fixture
def bury(cluster: Cluster, database: str) -> Bury:
    """Return what puts a dead letter into a tenant."""

    async def put(tenant_id: uuid.UUID, name: str = "no.such.task", *, payload: Any = None, **values: Any) -> str:
        defaults: dict[str, Any] = {
            "kind": "task",
            "status": "dead",
            "action": None,
            "key": None,
            "parents": [],
            "actor": None,
        }
        given = {**defaults, "event": None, **values, "payload": json.dumps(payload or {})}
        ((found,),) = await cluster.rows(database, INSERT, tenant=tenant_id, name=name, **given)
        return str(found)

    return put


async def names(caller: Caller, **query: Any) -> list[str]:
    """Return the names of the dead letters that a caller sees."""
    answer = await caller.call("GET", "/core/dead-letters", params=query)
    assert answer.status_code == 200, answer.text
    return [item["name"] for item in answer.json()["items"]]


async def status(caller: Caller, task_id: str) -> str:
    """Return how a task stands."""
    answer = await caller.call("GET", f"/core/tasks/{task_id}")
    assert answer.status_code == 200, answer.text
    return str(answer.json()["status"])


async def test_dead_letters_are_listed_and_shown(owner: Caller, bury: Bury) -> None:
    """By kind and by name, in pages; the payload comes without its secrets."""
    tenant = owner.tenant_id
    await bury(tenant, "one")
    await bury(tenant, "two", kind="refused")
    shown = await bury(tenant, "three", payload={"password": "hunter2", "size": 3, "note": "token=abcdef123456"})
    assert sorted(await names(owner)) == ["one", "three", "two"]
    assert await names(owner, kind="refused") == ["two"]
    assert await names(owner, name="one", kind="task") == ["one"]
    page = (await owner.call("GET", "/core/dead-letters", params={"limit": 2})).json()
    rest = await names(owner, limit=2, cursor=page["next_cursor"])
    assert sorted([*(item["name"] for item in page["items"]), *rest]) == ["one", "three", "two"]
    letter = (await owner.call("GET", f"/core/dead-letters/{shown}")).json()
    assert letter["payload"] == {"password": "[redacted]", "size": 3, "note": "token=[redacted]"}
    assert (letter["error"], letter["attempts"], letter["kind"]) == ("it broke", 3, "task")
    assert letter["died_at"] is not None


async def test_a_requeued_delivery_is_carried_out(
    owner: Caller, bury: Bury, settle: Callable[[], Awaitable[None]]
) -> None:
    """It runs as it would have, with fresh attempts, and its error is gone; the audit says who asked for it."""
    event, thing = str(uuid.uuid4()), str(uuid.uuid4())
    payload = {"event_id": event, "occurred_at": "2026-01-02T03:04:05Z", "object_id": thing, "name": "Alpha"}
    made = {"kind": "delivery", "action": "project.created", "event": event}
    letter = await bury(owner.tenant_id, HANDLER, payload=payload, **made)
    answer = await owner.call("POST", f"/core/dead-letters/{letter}/requeue")
    assert answer.status_code == 200, answer.text
    await settle()
    ((notice,),) = [(await owner.call("GET", "/notifications")).json()["items"]]
    assert (notice["object_id"], notice["title"]) == (thing, "Alpha")
    (delivery,) = (await owner.call("GET", f"/core/events/{event}")).json()["deliveries"]
    assert (delivery["handler"], delivery["status"]) == (HANDLER, "finished")
    assert (delivery["attempts"], delivery["error"]) == (1, None)
    audit = await owner.call("GET", "/audit", params={"action": "dead_letter.requeued"})
    (entry,) = audit.json()["items"]
    assert (entry["object_id"], entry["actor_id"]) == (letter, str(owner.user_id))
    assert (entry["before"], entry["after"]) == ({"status": "dead", "attempts": 3}, {"status": "queued"})


async def test_of_two_at_once_one_wins(owner: Caller, bury: Bury) -> None:
    """The other hears that it is settled, whatever either wanted."""
    for _ in range(5):
        letter = await bury(owner.tenant_id)
        verbs = ("requeue", "discard", "requeue", "discard")
        path = f"/core/dead-letters/{letter}"
        answers = await asyncio.gather(*(owner.call("POST", f"{path}/{verb}") for verb in verbs))
        assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
        assert {answer.json().get("code") for answer in answers if answer.is_error} == {"dead_letter_settled"}


async def test_what_waited_for_a_discarded_task_dies_with_it(owner: Caller, bury: Bury) -> None:
    """It says why; requeued it runs, since nothing holds it up any more."""
    parent = await bury(owner.tenant_id, "parent")
    child = await bury(owner.tenant_id, "child", status="deferred", parents=[parent])
    grandchild = await bury(owner.tenant_id, "grandchild", status="deferred", parents=[child])
    assert (await owner.call("POST", f"/core/dead-letters/{parent}/discard")).status_code == 200
    letter = (await owner.call("GET", f"/core/dead-letters/{child}")).json()
    assert letter["error"] == f"parent ({parent}), for which it waited, was discarded"
    assert [await status(owner, one) for one in (parent, child, grandchild)] == ["discarded", "dead", "deferred"]
    assert (await owner.call("POST", f"/core/dead-letters/{child}/requeue")).status_code == 200
    assert await status(owner, child) != "deferred"


async def test_a_requeued_task_waits_for_its_living_parents(owner: Caller, bury: Bury) -> None:
    """One that is dead itself may be requeued yet."""
    parent = await bury(owner.tenant_id, "parent")
    child = await bury(owner.tenant_id, "child", parents=[parent])
    assert (await owner.call("POST", f"/core/dead-letters/{child}/requeue")).status_code == 200
    assert await status(owner, child) == "deferred"


async def test_what_cannot_be_requeued_says_why(owner: Caller, bury: Bury) -> None:
    """A forged job, one whose key is taken, and what is no dead letter."""
    forged = await bury(owner.tenant_id, kind="refused")
    await bury(owner.tenant_id, "keyed", key="k", status="deferred", parents=[str(uuid.uuid4())])
    keyed = await bury(owner.tenant_id, "keyed", key="k")
    for letter, refusal, code in (
        (forged, 409, "dead_letter_refused"),
        (keyed, 409, "unique_key_waits"),
        (str(uuid.uuid4()), 404, "dead_letter_not_found"),
    ):
        answer = await owner.call("POST", f"/core/dead-letters/{letter}/requeue")
        assert (answer.status_code, answer.json()["code"]) == (refusal, code)
    assert (await owner.call("POST", f"/core/dead-letters/{forged}/discard")).status_code == 200
    assert (await owner.call("GET", f"/core/dead-letters/{forged}")).status_code == 404


async def test_only_those_who_may_see_and_settle(team: Team, bury: Bury) -> None:
    """Members do not; another tenant's are as missing as none; the system's show in no tenant."""
    letter = await bury(team.owner.tenant_id)
    await bury(SYSTEM_TENANT_ID, "of the system")
    for role in ("member", "viewer"):
        for method, path in (("GET", ""), ("GET", f"/{letter}"), ("POST", f"/{letter}/requeue")):
            assert (await team[role].call(method, f"/core/dead-letters{path}")).status_code == 403
    assert await names(team.admin) == ["no.such.task"]
    assert await names(team.stranger) == []
    for method, path in (("GET", ""), ("POST", "/requeue"), ("POST", "/discard")):
        assert (await team.stranger.call(method, f"/core/dead-letters/{letter}{path}")).status_code == 404


async def test_a_task_and_an_event_show_to_who_caused_them(team: Team, bury: Bury) -> None:
    """And to who may see all; to others in the tenant, and in any other, they are missing."""
    event = str(uuid.uuid4())
    tenant, actor = team.owner.tenant_id, team.member.user_id
    task_id = await bury(tenant, actor=actor)
    await bury(tenant, actor=actor, kind="delivery", event=event, action="project.created")
    for role, expected in (("owner", 200), ("admin", 200), ("member", 200), ("viewer", 404), ("stranger", 404)):
        for path in (f"/core/tasks/{task_id}", f"/core/events/{event}"):
            assert (await team[role].call("GET", path)).status_code == expected, (role, path)
    shown = (await team.member.call("GET", f"/core/tasks/{task_id}")).json()
    assert shown.keys() == {
        "id", "name", "status", "progress", "result", "error", "attempts", "created_at", "due_at", "started_at",
        "finished_at",
    }  # fmt: skip
    # A delivery is no task, and the id of neither is the other's.
    assert (await team.owner.call("GET", f"/core/tasks/{event}")).status_code == 404
    assert (await team.owner.call("GET", f"/core/events/{task_id}")).status_code == 404


async def test_the_audits_id_leads_to_the_deliveries(team: Team, settle: Callable[[], Awaitable[None]]) -> None:
    """Who created a project finds who heard of it by the id of the audit's row."""
    project = await team.member.create_project()
    await settle()
    query = {"object_id": project["id"], "action": "project.created"}
    (entry,) = (await team.owner.call("GET", "/audit", params=query)).json()["items"]
    found = (await team.member.call("GET", f"/core/events/{entry['id']}")).json()
    assert (found["id"], found["action"]) == (entry["id"], "project.created")
    assert (HANDLER, "finished") in [(one["handler"], one["status"]) for one in found["deliveries"]]
