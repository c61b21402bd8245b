"""Relations are narrowed however they are loaded, also one that forgets the tenant."""

import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError, InvalidRequestError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import aliased, contains_eager, joinedload, raiseload, selectinload, subqueryload, with_parent

from app.config import settings
from app.db.engine import create_engine
from app.db.session import Database
from tests.db.pair import OURS, THEIRS, UNSCOPED
from tests.db.shelf import Document, Folder, Shelf
from tests.support import Cluster

SHARED = uuid.UUID(int=0xF)
"""The id of a folder of either tenant: keys are (tenant_id, id)."""


@pytest.fixture(scope="module")
async def shelves(cluster: Cluster) -> AsyncIterator[async_sessionmaker[Database]]:
    """Sessions on a database with folders of two tenants under one id, without row security."""
    name = f"gp_{uuid.uuid4().hex[:12]}"
    await cluster.clone(name)
    engine = create_async_engine(cluster.url("postgres", name))
    async with engine.begin() as connection:
        await connection.run_sync(Shelf.metadata.create_all)
        for statement in (
            f"insert into tenants (id, name, version) values ('{OURS}', 'a', 1), ('{THEIRS}', 'b', 1)",
            f"insert into folders select id, '{SHARED}', 'folder of ' || name from tenants where name in ('a', 'b')",
            "insert into documents select tenant_id, gen_random_uuid(), 'in ' || name, id from folders",
            "grant select, insert, update, delete on folders, documents to app_rw",
        ):
            await connection.exec_driver_sql(statement)
    await engine.dispose()
    limited = create_engine(settings.database, cluster.url("app_rw", name))
    yield async_sessionmaker(limited, class_=Database)
    await limited.dispose()
    await cluster.drop(name)


LOADERS: dict[str, Callable[[Any], Any]] = {
    "joined": joinedload,
    "selectin": selectinload,
    "subquery": subqueryload,
}


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("unscoped", [False, True])
async def test_a_collection_loads_the_tenants_rows(
    shelves: async_sessionmaker[Database], loader: str, *, unscoped: bool
) -> None:
    """Eager loading stays inside the tenant; the unscoped control shows that it would not by itself."""
    query = select(Folder).where(Folder.tenant_id == OURS).options(LOADERS[loader](Folder.documents))
    async with shelves(tenant_id=OURS) as session:
        folder = (await session.scalars(query, execution_options=UNSCOPED if unscoped else {})).unique().one()
        names = {document.name for document in folder.documents}
    assert names == {"in folder of a", *({"in folder of b"} if unscoped else ())}


@pytest.mark.parametrize("loader", LOADERS)
async def test_a_parent_loads_from_the_tenant(shelves: async_sessionmaker[Database], loader: str) -> None:
    """The other direction, once as the helper makes it and once without the tenant in its condition."""
    query = select(Document).options(*(LOADERS[loader](part) for part in (Document.folder, Document.careless_folders)))
    async with shelves(tenant_id=OURS) as session:
        document = (await session.scalars(query)).unique().one()
        assert document.folder is not None
        assert [document.folder.name, *(folder.name for folder in document.careless_folders)] == ["folder of a"] * 2


async def test_a_lazy_load_stays_in_the_tenant(shelves: async_sessionmaker[Database]) -> None:
    """Where a relation allows it, it is narrowed when it happens."""
    async with shelves(tenant_id=OURS) as session:
        folder = (await session.scalars(select(Folder))).one()
        found = await session.run_sync(lambda _: [document.name for document in folder.documents])
        assert found == ["in folder of a"]
        document = (await session.scalars(select(Document))).one()
        assert await session.run_sync(lambda _: [folder.name for folder in document.careless_folders]) == [
            "folder of a"
        ]


async def test_relations_load_on_purpose(shelves: async_sessionmaker[Database]) -> None:
    """What `belongs_to` makes raises unless the statement loads it."""
    async with shelves(tenant_id=OURS) as session:
        document = (await session.scalars(select(Document).options(raiseload(Document.careless_folder)))).one()
        for name in ("folder", "careless_folder"):
            with pytest.raises(InvalidRequestError):
                getattr(document, name)


Other = aliased(Document)

CONDITIONS: dict[str, Callable[[], Any]] = {
    "any": lambda: select(Folder.name).where(Folder.documents.any(Document.name == "in folder of b")),
    "has": lambda: select(Document.name).where(Document.careless_folder.has(Folder.name == "folder of b")),
    "join": lambda: select(Folder.name, Document.name).join(Folder.documents),
    "join of an alias": lambda: select(Folder.name, Other.name).join(Folder.documents.of_type(Other)),
    "outer join": lambda: select(Folder.name, Document.name).outerjoin(Folder.documents),
    "parent": lambda: select(Document.name).where(with_parent(Folder(tenant_id=THEIRS, id=SHARED), Folder.documents)),
}


@pytest.mark.parametrize("name", CONDITIONS)
async def test_a_condition_over_a_relation_sees_the_tenants_rows(
    shelves: async_sessionmaker[Database], name: str
) -> None:
    """The other tenant's row neither shows nor decides; unscoped, it does."""
    async with shelves(tenant_id=OURS) as session:
        narrowed = (await session.execute(CONDITIONS[name]())).all()
        unscoped = (await session.execute(CONDITIONS[name](), execution_options=UNSCOPED)).all()
    assert "b" not in str(narrowed)
    assert len(unscoped) > len(narrowed)


async def test_contains_eager_fills_with_the_tenants_rows(shelves: async_sessionmaker[Database]) -> None:
    """A relation filled from a join holds what the join was narrowed to."""
    query = select(Folder).join(Folder.documents).options(contains_eager(Folder.documents))
    async with shelves(tenant_id=OURS) as session:
        folder = (await session.scalars(query)).unique().one()
        assert [document.name for document in folder.documents] == ["in folder of a"]


async def test_the_relation_of_the_helper_writes_its_own_column(shelves: async_sessionmaker[Database]) -> None:
    """Setting the parent sets `folder_id`; the tenant comes from the session, and a foreign parent is no parent."""
    async with shelves(tenant_id=OURS) as session:
        folder = Folder(name="new")
        session.add(document := Document(name="new", folder=folder))
        await session.flush()
        assert (document.tenant_id, document.folder_id) == (OURS, folder.id)
        await session.delete(folder)
        await session.flush()
        await session.refresh(document)
        assert (document.tenant_id, document.folder_id) == (OURS, None)
        document.folder_id = uuid.uuid4()
        with pytest.raises(IntegrityError):
            await session.flush()
