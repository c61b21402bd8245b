"""What a role may do: the document, the printed matrix and the answers say the same of every operation."""

from types import FunctionType

import pytest
from httpx2 import AsyncClient, Response

from app.commands.permissions import operation_table, permission_table
from app.core.permissions import CATALOGUE, BuiltInRole
from app.core.routing import operations
from app.main import bare_app
from app.routes import PREFIX
from tests.access.roles import OPERATIONS, ROLES, Cast
from tests.examples import Examples, Operation
from tests.support import Caller, register


def printed() -> dict[str, dict[str, str]]:
    """Return the rows of the printed matrix by operation, each cell under its column's name."""
    table = operation_table()
    rows = zip(*(column.cells for column in table.columns), strict=True)
    named = [dict(zip((str(column.header) for column in table.columns), map(str, row), strict=True)) for row in rows]
    return {row["operation"].replace(PREFIX, "", 1): row for row in named}


MATRIX = printed()


async def attempt(caller: Caller, operation: Operation) -> Response:
    """Call an operation as it wants to be called."""
    answer = await caller.call(**operation.request(Examples(operation.components, "an example")))
    assert answer.status_code != 401 or operation.access == "open", answer.text
    assert answer.status_code < 500, answer.text
    assert answer.is_success or answer.json()["code"] != "tenant_not_found", answer.text
    return answer


def may(operation: Operation, role: str) -> bool:
    """Tell what the document and the role's permissions say."""
    if operation.needs_tenant:
        return operation.access in ROLES.get(role, frozenset())
    return operation.access != "superuser"


@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_role_may_do_what_its_permissions_say(name: str, client: AsyncClient, cast: Cast) -> None:
    """A role with one permission passes where `x-access` names it and nowhere else; the built-in ones likewise."""
    operation = OPERATIONS[name]
    owner = await register(client)
    # An operation that asks for no tenant cannot tell a role from another, and may end the caller's sessions.
    people = await cast.enter(owner.tenant_id) if operation.needs_tenant else {BuiltInRole.owner: owner}
    answers = {role: await attempt(caller, operation) for role, caller in people.items()}
    refused = {role: answer.json()["code"] for role, answer in answers.items() if answer.status_code == 403}
    # Who holds the permission may still ask for more than they hold themselves.
    assert set(refused.values()) <= {"forbidden", "grant_refused"}
    assert {role: refused.get(role) != "forbidden" for role in people} == {
        role: may(operation, role) for role in people
    }


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_printed_matrix_says_the_same(name: str) -> None:
    """`app permissions` prints for each operation what the document asks, and the built-in roles that have it."""
    row, operation = MATRIX[name], OPERATIONS[name]
    assert row["asks"] == operation.access
    assert {role: row[role] == "yes" for role in BuiltInRole} == {role: may(operation, role) for role in BuiltInRole}


def test_the_printed_matrix_is_of_these_operations() -> None:
    """Nothing is printed that is not in the document, nor the other way round."""
    assert MATRIX.keys() == OPERATIONS.keys()


def test_every_permission_is_printed_with_its_roles() -> None:
    """The second table has a line for each permission of the catalogue, and the roles that hold it."""
    table = permission_table()
    rows = list(zip(*(column.cells for column in table.columns), strict=True))
    assert {row[0]: [cell == "yes" for cell in row[2:]] for row in rows} == {
        name: [name in ROLES[role] for role in BuiltInRole] for name in CATALOGUE
    }


def test_every_permission_is_asked_for_somewhere() -> None:
    """A permission that no operation asks for, and no object check, would be a promise that nobody keeps."""
    asked = {operation.access for operation in OPERATIONS.values()}
    checks = {route.access.check for _, _, route in operations(bare_app()) if route.access.check}
    names = [set(check.__code__.co_names) for check in checks if isinstance(check, FunctionType)]
    checked = {
        name
        for name, permission in CATALOGUE.items()
        if any({type(permission).__name__, permission.name} <= used for used in names)
    }
    assert bool(checked) == bool(checks)
    assert CATALOGUE.keys() - asked - checked == set()
