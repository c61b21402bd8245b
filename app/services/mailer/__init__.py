"""Mail: what a message is, who can send one, and two mailers that need no server.

The real ones, by SMTP and by Amazon SES, are loaded by `open_mailer` when the settings choose them, so that nobody
else pays for their libraries.
"""

from app.services.mailer.mail import Mail, Mailer, MailRefusedError
from app.services.mailer.transports import open_mailer
from app.services.mailer.twins import FileMailer, MemoryMailer

__all__ = ["FileMailer", "Mail", "MailRefusedError", "Mailer", "MemoryMailer", "open_mailer"]
