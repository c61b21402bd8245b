"""What can go wrong with files."""

from app.exceptions import ConflictError, NotFoundError, UnavailableError


class StoredFileNotFoundError(NotFoundError):
    """There is no such file here."""

    code = "file_not_found"


class FileQuotaError(ConflictError):
    """The files of this tenant would take more room than it has. Delete some, or ask for more."""

    code = "file_quota_exceeded"


class UploadGivenUpError(ConflictError):
    """The upload took so long that it was given up. Begin again."""

    code = "upload_given_up"


class FileStoreAwayError(UnavailableError):
    """Files cannot be reached at the moment; nothing was changed. Try again in a moment."""

    code = "file_store_unavailable"
