"""What the filter and the policies take for granted of every table of tenants."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Table, UniqueConstraint

from app.db.tenancy import secured_tables
from app.main import bare_app
from app.models import MODELS

TABLES = {table.name: table for table in secured_tables() if table.name != "tenants"}

ACROSS_TENANTS = {"idempotency_keys": [["key_hash", "generation"]]}
"""Keys that must hold over all tenants: a digest of tenant and actor leads, so nobody meets another's row by it."""


def unique_keys(table: Table) -> Iterator[list[str]]:
    """Yield the columns of each key that no two rows share."""
    yield list(table.primary_key.columns.keys())
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint):
            yield list(constraint.columns.keys())
    for index in table.indexes:
        if index.unique:
            yield list(index.columns.keys())


@pytest.mark.parametrize("name", TABLES)
def test_every_key_leads_with_the_tenant(name: str) -> None:
    """Else ON CONFLICT would change another tenant's row, and a duplicate would tell of it."""
    keys = [columns for columns in unique_keys(TABLES[name]) if columns not in ACROSS_TENANTS.get(name, [])]
    assert {columns[0] for columns in keys} == {"tenant_id"}


@pytest.mark.parametrize("name", TABLES)
def test_every_parent_is_of_the_same_tenant(name: str) -> None:
    """A foreign key to a table of tenants names the tenant on both sides: its check bypasses row security."""
    for key in TABLES[name].foreign_key_constraints:
        if key.referred_table.name in TABLES:
            pairs = {element.parent.name: element.column.name for element in key.elements}
            assert pairs.get("tenant_id") == "tenant_id", key.name


def test_a_model_without_a_line_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker would not know its table, and a purge would leave its rows: the API, which loads all, names it."""
    bare_app()
    monkeypatch.setattr("app.models.MODELS", MODELS[1:])
    with pytest.raises(TypeError, match=rf"{MODELS[0].__name__} has a model, \w+, and no line in app/models.py"):
        bare_app()
