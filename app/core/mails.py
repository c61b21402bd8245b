"""The one way in which mails leave."""

from app.core.context import Context
from app.services.mailer.letters import Letter


async def post(ctx: Context, to: str, letter: Letter) -> None:
    """Send a mail, in a run of the outbox: its entry's id is the Message-ID, the same however often it is sent.

    Raises TypeError anywhere else: a request that sent mails would send those of changes that are then rolled back.
    Raises OSError when nobody takes it now, and `MailRefusedError` when it is refused for good.
    """
    if ctx.entry_id is None:
        raise TypeError(f"{type(letter).__name__} can be sent by a task or a delivered handler alone")
    message_id = str(ctx.entry_id) if letter.keeps_id else ""
    await ctx.services.mailer.send(letter.mail(to, message_id))
