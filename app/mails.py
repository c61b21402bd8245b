"""Every kind of mail, by name, with values to show it by: `app mail preview` prints it, and each start tries it."""

from app.auth.mails import ChangedLetter, ResetLetter, VerificationLetter
from app.modules.billing.mails import ReminderLetter
from app.modules.notifications.mails import NewsLetter
from app.services.mailer.letters import Letter
from app.tenants.mails import InvitationLetter

TOKEN = "an-example-that-opens-nothing"  # noqa: S105 - as it says

MAILS: dict[str, Letter] = {
    "reset": ResetLetter(TOKEN),
    "verification": VerificationLetter(TOKEN),
    "changed": ChangedLetter(),
    "invitation": InvitationLetter("Harbour Studio", "member", 7, TOKEN),
    "reminder": ReminderLetter("Invoice 7", "Harbour Studio", "EUR 12.00", "the card was declined", "2026-01-02"),
    "news": NewsLetter("New project", "Website", "Harbour Studio"),
}
