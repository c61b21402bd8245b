"""Which mailer the settings ask for."""

import importlib
from pathlib import Path

from app.sections import MailSettings
from app.services.mailer.mail import Mailer
from app.services.mailer.twins import FileMailer, MemoryMailer

REAL = {
    "smtp": ("app.services.mailer.smtp", "SmtpMailer"),
    "ses": ("app.services.mailer.ses", "SesMailer"),
}
"""Transport -> module and class, loaded when it is chosen: what stands behind SES takes half a second to import."""


def open_mailer(config: MailSettings) -> Mailer:
    """Return the mailer of the settings; it connects when it sends."""
    if config.transport == "memory":
        return MemoryMailer()
    if config.transport == "file":
        return FileMailer(Path(config.folder), config.sender)
    module, name = REAL[config.transport]
    mailer: Mailer = getattr(importlib.import_module(module), name)(config)
    return mailer
