"""A marker in every text of a tenant, and somebody who calls everything from outside and must never see it."""

import itertools
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from httpx2 import Response

from app.services.mailer import MemoryMailer
from tests.examples import Examples, Operation
from tests.isolation.lanes import Lane
from tests.isolation.rivals import Rival
from tests.support import Caller, register

Values = dict[tuple[str, str], Any]
"""What is sent for parameters, by place and name."""

TEXTS = """
    select table_name as table, column_name as name, udt_name as type from information_schema.columns
    join information_schema.tables using (table_schema, table_name)
    where table_schema = 'public' and table_type = 'BASE TABLE' and is_generated = 'NEVER'
    and udt_name in ('text', 'varchar', '_text', '_varchar', 'jsonb', 'json', 'bytea', 'citext', 'bpchar', 'name')
"""
MARKED = {
    "text": "concat({name}, ' ', cast(:marker as text))",
    "varchar": "concat({name}, ' ', cast(:marker as text))",
    "_text": "array_append({name}, cast(:marker as text))",
    "_varchar": "array_append({name}, cast(:marker as varchar))",
    "jsonb": "coalesce(nullif({name}, 'null'), '{{}}') || jsonb_build_object('canary', cast(:marker as text))",
    "bytea": "convert_to(cast(:marker as text) || ' ' || id, 'utf8')",
}
"""How a marker comes into a column, by its type; what stands there stays, so that unique texts stay unique."""

FEW = 2
"""Of so many values of a parameter each is tried with each of another one."""

UNMARKED = {
    "billing_invoices.currency": "one of a few words, as the API checks",
    "billing_invoices.status": "one of five words, as the database checks",
    "billing_plans.currency": "one of a few words, as the API checks",
    "billing_plans.interval": "one of two words, as the API checks",
    "billing_subscriptions.status": "one of five words, as the database checks",
    "memberships.role": "names a set of permissions; the tenant's own roles bear the marker in their names",
    "outbox_entries.kind": "one of three words, as the database checks",
    "outbox_entries.status": "one of seven words, as the database checks",
    "projects.status": "one of two words, as the database checks",
    "tenants.disabled_modules": "names modules; no other text fits",
}
"""Columns that no text of a tenant's own fits in."""


async def mark(lane: Lane, rival: Rival) -> list[str]:
    """Put the marker into every text of every row that the rival has; return the columns that hold it now."""
    await lane.chain()
    tables = {*await lane.tables(), "tenants"}
    marked = []
    for column in await lane.run(TEXTS):
        name = f"{column.table}.{column.name}"
        if column.table not in tables or name in UNMARKED:
            continue
        value = MARKED[column.type].format(name=column.name)
        key = "id" if column.table == "tenants" else "tenant_id"
        # As a replica does, without asking foreign keys.
        replica = "with replica as (select set_config('session_replication_role', 'replica', true))"
        update = f"{replica} update {column.table} set {column.name} = {value} from replica where {key} = :tenant"
        await lane.run(f"{update} returning 1", marker=rival.marker, tenant=rival.owner.tenant_id)
        marked.append(name)
    return marked


@dataclass
class Watch:
    """What was called, and where the marker came to light."""

    lane: Lane
    rival: Rival
    expected: frozenset[str] = frozenset()
    """Operations in whose answers it is right to see it."""
    requests: int = 0
    sightings: list[str] = field(default_factory=list)

    @property
    def targets(self) -> list[str]:
        """Return the rival, and an object of each of their tables; every identifier there is, `intruder` tries."""
        owner = self.rival.owner
        objects = [rows[-1]["id"] for rows in self.rival.rows.values() if rows]
        return [str(owner.user_id), *objects]

    def look(self, where: str, shown: str) -> None:
        """Note it when something shows the marker."""
        if self.rival.marker in shown:
            self.sightings.append(where)

    async def call(self, caller: Caller, operation: Operation, values: Values, who: str) -> Response:
        """Call an operation, and look at all of the answer."""
        request = request_of(operation, values)
        answer = await caller.client.request(request.pop("method"), request.pop("path"), **request)
        self.requests += 1
        if str(operation) not in self.expected:
            self.look(f"{operation} answered {who} {answer.status_code}", answer.text + str(answer.headers))
        if answer.is_server_error:
            self.sightings.append(f"{operation} answered {who} {answer.status_code}")
        return answer

    async def look_behind(self, caller: Caller, mails: int) -> None:
        """Look at the mails since the `mails` first ones, and at every row of the caller's tenant."""
        work = self.lane.app.state.serving.gate.work
        await self.lane.settle()
        assert isinstance(work.services.mailer, MemoryMailer)
        for mail in work.services.mailer.sent[mails:]:
            self.look("a mail", f"{mail}")
        for table, rows in (await self.lane.rows(caller.tenant_id)).items():
            self.look(f"a row of {table}", str(rows))


@dataclass(frozen=True)
class Outsiders:
    """The people of a new tenant: owner, viewer and key; `superuser` is the owner of another one."""

    people: Mapping[str, Caller]

    @classmethod
    async def settle(cls, lane: Lane) -> "Outsiders":
        """Make a new tenant with its people."""
        owner, viewer, superuser = [await register(lane.client, "An Outsider") for _ in range(3)]
        await lane.run(
            "insert into memberships (tenant_id, id, user_id, role)"
            " values (:tenant, gen_random_uuid(), :user, 'viewer')",
            tenant=owner.tenant_id,
            user=viewer.user_id,
        )
        await lane.run("update users set is_superuser = true where id = :user", user=superuser.user_id)
        body = {"name": "everything", "permissions": (await permissions(owner)), "expires_in_days": 1}
        made = await owner.call("POST", "/tenants/current/api-keys", json=body)
        assert made.status_code == 201, made.text
        inside = {"viewer": viewer.token, "key": made.json()["key"]}
        callers = {
            who: Caller(owner.client, owner.user_id, owner.email, token, owner.tenant_id)
            for who, token in inside.items()
        }
        return cls({"owner": owner, **callers, "superuser": superuser})


async def permissions(owner: Caller) -> list[str]:
    """Return everything that an owner may do."""
    roles = (await owner.call("GET", "/tenants/current/roles")).json()["items"]
    found: list[str] = next(role["permissions"] for role in roles if role["name"] == "owner")
    return found


async def try_everything(watch: Watch, operation: Operation, who: str, caller: Caller) -> bool:
    """Call an operation as somebody, with every documented parameter: each alone, each two, and all at once.

    Return whether any of it was done.
    """
    choices, signed = (
        await choices_of(watch, operation, caller),
        {("header", "Authorization"): f"Bearer {caller.token}"},
    )
    answers = [await watch.call(caller, operation, signed | values, who) for values in combinations(choices)]
    return any(answer.is_success for answer in answers)


async def choices_of(watch: Watch, operation: Operation, caller: Caller) -> dict[tuple[str, str], list[Any]]:
    """Return what to send for each parameter: what fits, and the identifiers and cursor of the rival."""
    bait = Examples(operation.components, "an outsider's", watch.targets)
    found: dict[tuple[str, str], list[Any]] = {
        (one["in"], one["name"]): bait.choices(one["schema"]) for one in operation.parameters
    }
    known = {
        ("header", "X-Tenant-ID"): [str(caller.tenant_id), str(watch.rival.owner.tenant_id)],
        ("header", "If-Match"): ['"1"', "*"],
        ("header", "Idempotency-Key"): [str(uuid.uuid4()), "the-rival's"],
        ("query", "cursor"): [cursor for cursor in [await cursor_of(watch.rival.owner, operation)] if cursor],
    }
    return found | {place: values for place, values in known.items() if place in found}


async def cursor_of(owner: Caller, operation: Operation) -> str | None:
    """Return where the rival's own list goes on."""
    if not operation.is_read or operation.named("path"):
        return None
    answer = await owner.call("GET", operation.path, params={"limit": 1})
    found: str | None = answer.json().get("next_cursor") if answer.is_success else None
    return found


def combinations(choices: Mapping[tuple[str, str], Sequence[Any]]) -> Iterator[Values]:
    """Yield what is needed alone, then each parameter with each value, each two, and all together; none of it twice.

    What stands in the path, and the tenant's header, go with every request: without them there is no call.
    """
    needed = {place: values for place, values in choices.items() if place[0] == "path" or place[1] == "X-Tenant-ID"}
    always = {place: values[0] for place, values in needed.items()}
    tried: list[Values] = []
    for values in varied({place: values for place, values in choices.items() if values}):
        if always | values not in tried:
            tried.append(always | values)
            yield tried[-1]


def varied(choices: Mapping[tuple[str, str], Sequence[Any]]) -> Iterator[Values]:
    """Yield nothing, then each parameter with each value, each two, and all together."""
    yield {}
    for place, values in choices.items():
        yield from ({place: value} for value in values)
    for one, other in itertools.combinations(choices, 2):
        yield from ({one: a, other: b} for a, b in itertools.product(choices[one][:FEW], choices[other][:FEW]))
    for number in range(min(FEW, max(map(len, choices.values()), default=0))):
        yield {place: values[number % len(values)] for place, values in choices.items()}


def request_of(operation: Operation, values: Values) -> dict[str, Any]:
    """Return the arguments of a call with these values; a body holds an outsider's words."""
    parts: dict[str, dict[str, Any]] = {"path": {}, "query": {}, "header": {}}
    for (place, name), value in values.items():
        parts[place][name] = value
    examples = Examples(operation.components, uuid.uuid4().hex)
    request = operation.request(examples, parts["path"])
    return {**request, "params": {**request["params"], **parts["query"]}, "headers": parts["header"]}


async def seen_by_the_rival(watch: Watch, operations: Sequence[Operation]) -> AsyncIterator[str]:
    """Yield the reads in which the rival sees their own marker."""
    owner = watch.rival.owner
    for operation in operations:
        if operation.is_read and operation.needs_tenant and not operation.named("path"):
            before = len(watch.sightings)
            await watch.call(
                owner, operation, {("header", name): value for name, value in owner.headers.items()}, "the rival"
            )
            if len(watch.sightings) > before:
                yield str(operation)
