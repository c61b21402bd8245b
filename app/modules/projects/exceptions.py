"""What can go wrong with projects."""

from app.exceptions import ConflictError, NotFoundError


class ProjectNotFoundError(NotFoundError):
    """There is no such project here."""

    code = "project_not_found"


class ProjectNameTakenError(ConflictError):
    """Another project has this name."""

    code = "project_name_taken"
    constraint = "uq_projects_name"


class AttachmentNotFoundError(NotFoundError):
    """This file is not attached to the project."""

    code = "attachment_not_found"


class AlreadyAttachedError(ConflictError):
    """This file is attached to the project already."""

    code = "already_attached"
    constraint = "uq_project_attachments_file"


class ExportNotFoundError(NotFoundError):
    """There is no such export here, or it is not finished, or was removed since."""

    code = "export_not_found"
