"""Roles that hold one permission each, beside the built-in ones, and one person for every role."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace

from httpx2 import AsyncClient

from app.core.openapi import document
from app.core.permissions import CATALOGUE, built_in_roles
from app.main import bare_app
from tests.examples import operations_of
from tests.support import Caller, Cluster, register, renewed

OPERATIONS = {str(one): one for one in operations_of(document(bare_app()))}
"""Every operation, by `METHOD /path`."""

OWN = {**{f"only:{name}": name for name in CATALOGUE}, "nothing": ""}
"""Roles of the tenant's own that hold one permission each, and one that holds none."""

ROLES = {**built_in_roles(), **{role: frozenset(filter(None, [held])) for role, held in OWN.items()}}

FOUND = """
    insert into roles (tenant_id, id, name, description, permissions, version)
    select :tenant, gen_random_uuid(), own.name, '', array_remove(array[own.held], ''), 1
    from unnest(cast(:names as text[]), cast(:held as text[])) as own (name, held) returning 1
"""
PLACE = """
    insert into memberships (tenant_id, id, user_id, role)
    select :tenant, gen_random_uuid(), place.user_id, place.role
    from unnest(cast(:users as uuid[]), cast(:roles as text[])) as place (user_id, role) returning 1
"""


@dataclass(frozen=True)
class Cast:
    """A person for each role."""

    people: Mapping[str, Caller]
    cluster: Cluster
    database: str

    async def enter(self, tenant_id: uuid.UUID) -> dict[str, Caller]:
        """Put everybody into a tenant, and return them by role, with it selected."""
        own = {"names": list(OWN), "held": list(OWN.values())}
        await self.cluster.rows(self.database, FOUND, tenant=tenant_id, **own)
        users = [person.user_id for person in self.people.values()]
        await self.cluster.rows(self.database, PLACE, tenant=tenant_id, users=users, roles=list(self.people))
        return {role: replace(renewed(person), tenant_id=tenant_id) for role, person in self.people.items()}


async def hire(client: AsyncClient, cluster: Cluster, database: str) -> Cast:
    """Register a person for each role."""
    return Cast({role: await register(client, role) for role in ROLES}, cluster, database)
