"""`app events`, `app tasks`, `app dead-letters` and `app scheduler`."""

import asyncio
import json
import os
import signal
import subprocess
import uuid
from collections.abc import Iterator

import pytest

from app.commands.operating import with_operator
from app.config import settings
from app.core.exceptions import DeadLetterNotFoundError, DeadLetterSettledError
from app.core.operator import Operator
from app.db.tenancy import SYSTEM_TENANT_ID
from app.hub import MessageHub
from app.processes import Roles
from app.worker import SCHEDULE, TASKS
from tests.commands.support import PROGRAM, ROOT, Outcome, call, run, run_each
from tests.support import Cluster

TENANT = "insert into tenants (id, name, version) values (gen_random_uuid(), 'operated', 1) returning id"
DEAD = """
    insert into outbox_entries (
        tenant_id, id, kind, name, queue, status, version, payload, request_id, address, attempts, max_attempts,
        dispatches, error, finished_at
    ) values (
        :tenant, gen_random_uuid(), :kind, 'no.such.task', 'default', 'dead', 1, '{"token": "abcdef123"}', '', '',
        3, 3, 3, 'it broke', now()
    ) returning cast(id as text)
"""


@pytest.fixture(scope="module")
def operated(cluster: Cluster) -> Iterator[str]:
    """Make a database for the operator."""
    name = f"gp_{uuid.uuid4().hex[:12]}"
    asyncio.run(cluster.clone(name))
    yield name
    asyncio.run(cluster.drop(name))


def rows(cluster: Cluster, database: str, query: str, **values: object) -> list[tuple[object, ...]]:
    """Return what a query finds."""
    return [tuple(row) for row in asyncio.run(cluster.rows(database, query, **values))]


def app(cluster: Cluster, database: str, *lines: tuple[str, ...]) -> list[Outcome]:
    """Run commands on the operator's database."""
    return run_each(*lines, APP_DATABASE__URL=cluster.url("app_rw", database))


def tenant_of(cluster: Cluster, database: str) -> str:
    """Make a tenant."""
    ((tenant_id,),) = rows(cluster, database, TENANT)
    return str(tenant_id)


def test_events_are_printed_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """Each event stands on a line of its own, with its handlers and when they run."""
    assert call("events") == 0
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert {event.__name__ for event in MessageHub.handlers} <= {line[0] for line in lines if line}
    name = "notifications.projects.notify_of_created_project"
    (line,) = (line for line in lines if line and line[3] == name)
    assert line == ["ProjectCreated", "project.created", "1", name, "delivered", "default", "8"]


def test_events_are_printed_for_programs_and_diagrams(capsys: pytest.CaptureFixture[str]) -> None:
    """The same as JSON, and as a flow chart of what is heard."""
    assert call("events", "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["event"] for one in found] == [event.__name__ for event in MessageHub.handlers]
    assert call("events", "--format", "mermaid") == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "flowchart LR"
    assert len(lines) == sum(map(len, MessageHub.handlers.values()))
    assert "    UserRegistered([user.registered]) -.-> auth_mail_verification[auth.mail_verification]" in lines


def test_tasks_are_printed_with_their_schedule(
    cluster: Cluster, operated: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a database the counts too; without one, or one that is away, question marks."""
    plain = Outcome(call("tasks", "list"), *capsys.readouterr())
    (away,) = app(cluster, "no_such_database", ("tasks", "list"))
    (there,) = app(cluster, operated, ("tasks", "list"))
    for outcome, count in ((plain, "?"), (away, "?"), (there, "0")):
        assert outcome.code == 0
        lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in outcome.out.splitlines()]
        table = {line[0]: line for line in lines if line}
        assert table.keys() == {task.name for task in TASKS}
        for line in SCHEDULE:
            assert table[line.task.name][5] == str(line.rule)
        assert table["projects.export"][-1] == count


def test_a_task_is_run_by_hand(cluster: Cluster, operated: str) -> None:
    """In this process, awaited: its result, or why it failed, is printed."""
    tenant = tenant_of(cluster, operated)
    export = ("tasks", "run", "projects.export", "--tenant", tenant, "--argument", 'status="active"')
    done, purged = app(cluster, operated, export, ("tasks", "run", "tenants.purge"))
    assert (done.code, done.err) == (0, "")
    state = json.loads(done.out)
    assert (state["status"], state["result"]["count"]) == ("finished", 0)
    assert json.loads(purged.out)["result"] == 0
    status = "select name, status from outbox_entries where tenant_id = :tenant"
    assert rows(cluster, operated, status, tenant=tenant) == [("projects.export", "finished")]


WRONG = {
    ("no.such.task",): (2, "there is no task 'no.such.task'"),
    ("projects.export", "--argument", "status=active"): (2, "the value as JSON"),
    ("projects.export", "--argument", 'color="red"', "--tenant", str(SYSTEM_TENANT_ID)): (1, "takes no color"),
    ("projects.export", "--argument", "status=3", "--tenant", str(SYSTEM_TENANT_ID)): (1, "status: Input should be"),
    ("projects.export",): (1, "enter a tenant first"),
    ("tenants.purge", "--tenant", str(uuid.uuid4())): (1, "enter the system tenant first"),
}


def test_a_task_that_cannot_be_run_says_why(cluster: Cluster, operated: str) -> None:
    """In a line on standard error; nothing is left behind."""
    outcomes = app(cluster, operated, *(("tasks", "run", *arguments) for arguments in WRONG))
    for (arguments, (code, said)), outcome in zip(WRONG.items(), outcomes, strict=True):
        assert (outcome.code, outcome.out) == (code, ""), arguments
        assert said in " ".join(outcome.err.replace("│", " ").split())


def test_dead_letters_are_settled_in_all_tenants(cluster: Cluster, operated: str) -> None:
    """Listed, shown without secrets, requeued and discarded; each change is audited in its tenant, for no actor."""
    tenant = tenant_of(cluster, operated)
    one, two = (str(rows(cluster, operated, DEAD, tenant=tenant, kind="task")[0][0]) for _ in range(2))
    ((forged,),) = rows(cluster, operated, DEAD, tenant=SYSTEM_TENANT_ID, kind="refused")
    steps = (("list",), ("requeue", one), ("discard", two), ("requeue", str(forged)))
    listed, requeued, discarded, refused = app(cluster, operated, *(("dead-letters", *step) for step in steps))
    assert all(str(letter) in listed.out for letter in (one, two, forged))
    assert requeued.out == f"{one} will be tried again.\n"
    assert discarded.out == f"{two} was discarded.\n"
    assert refused.code == 1
    assert "never run" in refused.complaint
    audited = "select action, cast(object_id as text), actor_id from audit_entries where tenant_id = :tenant"
    assert set(rows(cluster, operated, audited, tenant=tenant)) == {
        ("dead_letter.requeued", one, None),
        ("dead_letter.discarded", two, None),
    }


async def test_an_operator_sees_every_tenant(cluster: Cluster, operated: str) -> None:
    """The list is of all tenants or of one; a letter is shown without secrets; one that is settled stays so."""
    tenant = uuid.UUID(str((await cluster.rows(operated, TENANT))[0][0]))
    made = [
        (await cluster.rows(operated, DEAD, tenant=owner, kind="task"))[0][0] for owner in (tenant, SYSTEM_TENANT_ID)
    ]
    own, of_system = map(uuid.UUID, made)

    async def look(operator: Operator) -> None:
        assert {own, of_system} <= {row.id for row in await operator.list(None, 100)}
        assert {row.id for row in await operator.list(tenant, 100)} == {own}
        shown = await operator.act(of_system, lambda letters: letters.get(of_system))
        assert (shown.error, shown.payload) == ("it broke", {"token": "[redacted]"})
        await operator.act(own, lambda letters: letters.discard(own))
        with pytest.raises(DeadLetterSettledError):
            await operator.act(own, lambda letters: letters.discard(own))
        with pytest.raises(DeadLetterNotFoundError):
            await operator.act(uuid.uuid4(), lambda letters: letters.discard(own))

    await with_operator(settings, Roles.of(settings, cluster.url("app_rw", operated)), look)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_scheduler_keeps_the_schedule_until_a_signal(cluster: Cluster, operated: str, number: signal.Signals) -> None:
    """It writes its rows as the worker's role, and stops with status 0."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("APP_")}
    environment = {**inherited, "APP_ENV": "testing", "APP_DATABASE__URL": cluster.url("app_rw", operated)}
    rows(cluster, operated, "delete from schedule_entries returning 1")
    with subprocess.Popen(  # noqa: S603 - our own program
        [*PROGRAM, "scheduler"], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            asyncio.run(until_scheduled(cluster, operated))
            process.send_signal(number)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, err) == (0, "")


async def until_scheduled(cluster: Cluster, database: str) -> None:
    """Return once each line has its row."""
    async with asyncio.timeout(60):
        while len(await cluster.rows(database, "select name from schedule_entries")) < len(SCHEDULE):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def test_a_scheduler_without_a_database_says_so() -> None:
    """One line, status 1."""
    outcome = run("scheduler", APP_DATABASE__URL="postgresql+asyncpg://app_rw@/app?host=/nowhere")
    assert outcome.code == 1
    assert "does not answer: " in outcome.complaint
