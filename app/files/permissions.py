"""What may be done with files, and with which of them."""

import uuid

from app.core.context import Context
from app.core.permissions import ADMINS, EVERYONE, MEMBERS, Permission
from app.files.repository import FileRepository


class FilePermission(Permission):
    """Permissions on files."""

    read = "files.read", "See and download files.", EVERYONE
    write = "files.write", "Upload files; delete one's own.", MEMBERS
    manage = "files.manage", "Delete the files of others, too.", ADMINS


async def may_delete(ctx: Context, file_id: uuid.UUID) -> bool:
    """Tell whether the caller may delete a file: their own, or any with `files.manage`."""
    file = await FileRepository(ctx.session).get(file_id)
    return FilePermission.manage in ctx.permissions or file.created_by == ctx.actor_id
