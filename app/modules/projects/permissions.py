"""What may be done with projects, and with which of them."""

import uuid

from app.core.context import Context
from app.core.permissions import ADMINS, EVERYONE, MEMBERS, Permission
from app.modules.projects.repository import ProjectRepository


class ProjectPermission(Permission):
    """Permissions on projects."""

    read = "projects.read", "See projects.", EVERYONE
    write = "projects.write", "Create projects; change, delete and restore one's own.", MEMBERS
    manage = "projects.manage", "Change, delete and restore the projects of others, too.", ADMINS


async def may_change(ctx: Context, project_id: uuid.UUID) -> bool:
    """Tell whether the caller may change a living project: their own, or any with `projects.manage`."""
    project = await ProjectRepository(ctx.session).get(project_id)
    return ProjectPermission.manage in ctx.permissions or project.created_by == ctx.actor_id


async def may_restore(ctx: Context, project_id: uuid.UUID) -> bool:
    """Tell the same of a project that may be deleted."""
    project = await ProjectRepository(ctx.session).get(project_id, with_deleted=True)
    return ProjectPermission.manage in ctx.permissions or project.created_by == ctx.actor_id
