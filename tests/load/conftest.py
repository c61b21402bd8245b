"""A tenant for bad requests to fail at, and the look behind the door after each of them."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from tests.access.roles import OPERATIONS
from tests.examples import Examples
from tests.load.door import Digests, Door, everything
from tests.support import Cluster, Team, found_team, renewed, settled_of


@pytest.fixture(scope="package")
async def built(application: FastAPI, client: AsyncClient, cluster: Cluster, database: str) -> Door:
    """Make two tenants with a project each; nothing that these tests send may change them, so they share them.

    The owner has one of each thing that needs no other to be made, as those of a new module do, and is a superuser, so
    that nothing is refused for want of it, or of a right.
    """
    people = await found_team(client, cluster, database)
    made = "update users set is_superuser = true where id = :user returning 1"
    assert await cluster.rows(database, made, user=people.owner.user_id)
    mine, other = await people.owner.create_project(), await people.stranger.create_project()
    for _ in range(2):
        await people.owner.create_project()
    own = {}
    for operation in (one for one in OPERATIONS.values() if one.creates):
        answer = await people.owner.call(**operation.request(Examples(operation.components, uuid.uuid4().hex)))
        if answer.is_success:
            own[operation.path] = answer.json()["id"]
    await settled_of(application.state.serving.gate.work)
    return Door(application, client, people, mine, other, own)


@pytest.fixture(scope="package")
async def witness(cluster: Cluster, database: str) -> AsyncIterator[AsyncConnection]:
    """Yield a connection of the superuser."""
    engine = create_async_engine(cluster.url("postgres", database), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        yield connection
    await engine.dispose()


@pytest.fixture
def unlocked(built: Door) -> Door:
    """Return the door, with everybody signed in anew."""
    return replace(built, people=Team(**{role: renewed(person) for role, person in vars(built.people).items()}))


@pytest.fixture(scope="package")
def seen() -> list[Digests]:
    """Return what the last look saw; who changes rows clears it. Tests of elsewhere end it, as they end the package."""
    return []


@pytest.fixture
async def door(unlocked: Door, witness: AsyncConnection, seen: list[Digests]) -> AsyncIterator[Door]:
    """Yield the door, and look afterwards whether any row of any table is another than before."""
    before = seen.pop() if seen else await everything(witness)
    yield unlocked
    after = await everything(witness)
    assert after == before
    seen.append(after)
