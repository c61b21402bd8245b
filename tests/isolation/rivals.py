"""A tenant with something to lose in every table there is."""

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import orjson
from httpx2 import Response

from tests.examples import Examples, Operation, operations_of
from tests.isolation.lanes import Lane, Rows
from tests.support import Caller, register

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

NEEDED_COLUMNS = """
    select column_name as name, udt_name as type from information_schema.columns
    where table_schema = 'public' and table_name = :table and is_nullable = 'NO' and column_default is null
    and is_identity = 'NO' and is_generated = 'NEVER'
"""
VALUES = {
    "uuid": "gen_random_uuid()",
    "text": "cast(:marker as text)",
    "varchar": "cast(:marker as text)",
    "timestamptz": "now()",
    "date": "current_date",
    "interval": "interval '1 day'",
    "bool": "false",
    "int4": "1",
    "int8": "9000000000",
    "float8": "0.5",
    "numeric": "1.5",
    "jsonb": "to_jsonb(cast(:marker as text))",
    "bytea": "sha256(convert_to(cast(:marker as text), 'utf8'))",
    "_text": "array[cast(:marker as text)]",
}
"""What fills a column by its type."""

WORDS = {"currency": "'EUR'"}
"""What fills a column of a name that says which few words it takes."""


@dataclass(frozen=True)
class Rival:
    """A tenant whose texts hold a marker, and every row it has."""

    owner: Caller
    marker: str
    rows: Rows

    @cached_property
    def ids(self) -> list[str]:
        """Return every identifier that the rows hold: their own, and those of what and whom they tell of."""
        return sorted(set(UUID.findall(orjson.dumps(self.rows).decode())))

    @cached_property
    def baits(self) -> list[str]:
        """Return two identifiers of each column of each table, the first and the last: what is tried in calls.

        All that a column holds is of one kind, so to try every one of them would say no more, and take minutes.
        """
        found: set[str] = set()
        for rows in self.rows.values():
            for column in {name for row in rows for name in row}:
                held = UUID.findall(orjson.dumps([row.get(column) for row in rows]).decode())
                found.update(held[:1] + held[-1:])
        return sorted(found)

    def traces(self, answer: Response, sent: str) -> Iterator[str]:
        """Yield what an answer shows of this tenant beyond what the caller sent."""
        shown = answer.text + str(answer.headers)
        yield from (one for one in (self.marker, self.owner.email, *self.ids) if one in shown and one not in sent)


async def furnish(lane: Lane) -> Rival:
    """Make a tenant through every operation that creates something; what stays empty then is filled by SQL.

    So a new module joins by itself.
    """
    marker = f"m{uuid.uuid4().hex[:11]}"
    owner = await register(lane.client, marker)
    operations = operations_of(lane.app.openapi())
    examples = Examples(lane.app.openapi()["components"]["schemas"], marker)
    for _ in range(2):
        await create_each(lane, owner, examples)
    await delete_one_of_each(lane, owner, operations)
    for table, rows in (await lane.rows(owner.tenant_id)).items():
        if not rows:
            await fill(lane, table, owner.tenant_id, marker)
    return Rival(owner, marker, await lane.rows(owner.tenant_id))


async def create_each(lane: Lane, owner: Caller, examples: Examples) -> None:
    """Try every operation that creates something."""
    for operation in operations_of(lane.app.openapi()):
        if operation.creates:
            await owner.call(**operation.request(examples))


async def delete_one_of_each(lane: Lane, owner: Caller, operations: list[Operation]) -> None:
    """Delete one object of each kind that can be restored; where a path names a table, its rows are tried first."""
    found = await lane.rows(owner.tenant_id)
    for path, _, last in (operation.path.rpartition("/") for operation in operations):
        if last != "restore" or "{" not in path:
            continue
        likely = sorted(found, key=lambda table: f"/{table}/" not in path)
        for row_id in [row["id"] for table in likely for row in found[table]]:
            answer = await owner.call("DELETE", re.sub(r"\{\w+\}", row_id, path))
            if answer.is_success:
                break


async def fill(lane: Lane, table: str, tenant_id: uuid.UUID, marker: str) -> None:
    """Insert one row by the types of a table's columns; as a replica does, without asking foreign keys."""
    columns = await lane.run(NEEDED_COLUMNS, table=table)
    values = {column.name: WORDS.get(column.name) or VALUES[column.type] for column in columns} | {
        "tenant_id": f"'{tenant_id}'"
    }
    names, row = ", ".join(values), ", ".join(values.values())
    replica = "with replica as (select set_config('session_replication_role', 'replica', true))"
    insert = f"insert into {table} ({names}) select {row} from replica"
    await lane.run(f"{replica} {insert}", marker=marker)
