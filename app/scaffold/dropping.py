"""The migration that drops the tables of a module, and makes them again when it is undone."""

from alembic.autogenerate import render_python_code
from alembic.migration import MigrationContext
from alembic.operations.ops import CreateIndexOp, CreateTableOp, DropTableOp, MigrateOperation, UpgradeOps
from sqlalchemy import Table

from app.models import SCHEMA
from app.scaffold.draft import Draft
from app.scaffold.modules import VERSIONS, next_revision, render
from app.scaffold.reading import tables_of


def draft_drop(draft: Draft, name: str) -> None:
    """Add the migration that drops the tables of a module; nothing for one that has none."""
    found = []
    for path in sorted((draft.root / "app" / "modules" / name).rglob("*.py")):
        found += tables_of(path.read_text(encoding="utf-8"))
    tables = [table for table in SCHEMA.sorted_tables if table.name in found]
    if not tables:
        return
    revision, before = next_revision(draft.root)
    values = {
        "title": name.replace("_", " "),
        "revision": revision,
        "before": before,
        "drops": code_of([DropTableOp.from_table(table) for table in reversed(tables)]),
        "makes": code_of([step for table in tables for step in steps_of(table)]),
        "tables": [table.name for table in tables],
    }
    draft.write(f"{VERSIONS}/{revision}_without_{name}.py", render("drop.py.j2", values))
    draft.format()


def steps_of(table: Table) -> list[MigrateOperation]:
    """Return what makes a table with its indexes."""
    indexes = sorted(table.indexes, key=lambda index: str(index.name))
    return [CreateTableOp.from_table(table), *(CreateIndexOp.from_index(index) for index in indexes)]


def code_of(steps: list[MigrateOperation]) -> str:
    """Return steps as Alembic writes them, indented as in a function."""
    postgresql = MigrationContext.configure(dialect_name="postgresql")
    lines = render_python_code(UpgradeOps(steps), migration_context=postgresql).splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))
