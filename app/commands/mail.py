"""`app mail`."""

import enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from app.config import settings
from app.mails import MAILS
from app.services.mailer.letters import SOMEBODY, check_letters

cli = typer.Typer(add_completion=False, no_args_is_help=True)

WIDEST = 1000


class Form(enum.StrEnum):
    """How a mail is shown."""

    text = "text"
    html = "html"
    eml = "eml"


@cli.callback()
def prepare() -> None:
    """See which mails there are, and how they look; needs no database."""
    try:
        check_letters(MAILS.values())
    except TypeError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


@cli.command("list")
def show_list() -> None:
    """Print every mail: what it is for, its subject, and whether it keeps its Message-ID when it is sent again."""
    found = Table("mail", "is", "subject", "keeps its id", title="Mails")
    for name, letter in MAILS.items():
        about = (type(letter).__doc__ or "").split("\n")[0]
        found.add_row(name, about, letter.mail(SOMEBODY).subject, "yes" if letter.keeps_id else "no")
    Console(width=WIDEST).print(found)


def read_name(value: str) -> str:
    """Return the name of a mail."""
    if value not in MAILS:
        raise typer.BadParameter(f"there is no mail {value!r}; there are {', '.join(MAILS)}")
    return value


@cli.command()
def preview(
    name: Annotated[str, typer.Argument(callback=read_name, help="As `app mail list` prints it.")],
    form: Annotated[Form, typer.Option("--format", help="Text with the subject, HTML, or the whole message.")] = (
        Form.text
    ),
    output: Annotated[Path | None, typer.Option(help="A file to write instead, say for a browser.")] = None,
) -> None:
    """Print a mail, filled in with examples."""
    shown = content(name, form)
    if output is None:
        typer.echo(shown, nl=not shown.endswith("\n"))
        return
    try:
        output.write_text(shown, encoding="utf-8", newline="")
    except OSError as error:
        typer.echo(f"{output} cannot be written: {error.strerror}", err=True)
        raise typer.Exit(1) from None


def content(name: str, form: Form) -> str:
    """Return a mail in one of its forms."""
    letter = MAILS[name]
    if form == Form.eml:
        message_id = "example" if letter.keeps_id else ""
        return bytes(letter.mail(SOMEBODY, message_id).as_message(settings.mail.sender)).decode("ascii")
    return letter.render("txt" if form == Form.text else "html")
