"""`app permissions`."""

import typer
from rich.console import Console
from rich.table import Table

from app.core.permissions import CATALOGUE, BuiltInRole
from app.core.routing import AccessRoute, operations
from app.main import bare_app

cli = typer.Typer(add_completion=False)

WIDEST = 1000
"""Columns a table may take: wider than any, so that each operation stands whole on its line, for `grep` too."""


@cli.command()
def run() -> None:
    """Print the matrix of operations and roles, then what each permission means; needs no database."""
    console = Console(width=WIDEST)
    console.print(operation_table())
    console.print(permission_table())


def operation_table() -> Table:
    """Return one row an operation: what it asks, and which built-in roles may call it."""
    table = Table("operation", "asks", *BuiltInRole, "also", title="Operations")
    for method, path, route in operations(bare_app()):
        table.add_row(
            f"{method} {path}", str(route.access), *(mark(route, role) for role in BuiltInRole), extras(route)
        )
    return table


def mark(route: AccessRoute, role: BuiltInRole) -> str:
    """Return whether a role may call an operation, as far as roles decide."""
    if route.access.resource is not None:
        return "yes" if role in route.access.resource.roles else "-"
    return "-" if route.access.superuser else "yes"


def extras(route: AccessRoute) -> str:
    """Return what else the operation asks: a module, a check of the object."""
    module = f"module {route.access.module}" if route.access.module else ""
    check = f"check {route.access.check.__name__}" if route.access.check else ""
    return ", ".join(filter(None, (module, check)))


def permission_table() -> Table:
    """Return one row a permission."""
    table = Table("permission", "meaning", *BuiltInRole, title="Permissions")
    for name, permission in sorted(CATALOGUE.items()):
        table.add_row(
            name,
            permission.description,
            *("yes" if role in permission.roles else "-" for role in BuiltInRole),
        )
    return table
