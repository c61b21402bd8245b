"""Mails in words: a kind of mail is a class, its fields are what its two templates may say.

The templates lie beside the class, `<template>.txt` with the subject in its first line, and `<template>.html`. Values
cannot write lines: whatever a template prints is made one line of printable text, and in HTML it is escaped.
"""

import re
import sys
from collections.abc import Collection
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import ClassVar, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError, meta, select_autoescape

from app.config import settings
from app.services.mailer.mail import Mail

Form = Literal["txt", "html"]
FORMS: tuple[Form, ...] = ("txt", "html")
SUBJECT = "Subject: "
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
SOMEBODY = "somebody@example.com"


@dataclass(frozen=True)
class Letter:
    """A kind of mail. Its docstring says what it is for, `template` names its files.

    `keeps_id` is False for mails with links: each time they are sent they bring another link, and so are another
    message.
    """

    template: ClassVar[str]
    keeps_id: ClassVar[bool] = True

    def mail(self, to: str, message_id: str = "") -> Mail:
        """Return the mail to an address."""
        head, _, text = self.render("txt").partition("\n\n")
        return Mail(to, head.removeprefix(SUBJECT), text, message_id, self.render("html"))

    def render(self, form: Form) -> str:
        """Return one of its forms; the text begins with the subject."""
        return environment(self.folder()).get_template(f"{self.template}.{form}").render(asdict(self))

    @classmethod
    def folder(cls) -> Path:
        """Return where its templates are."""
        return Path(sys.modules[cls.__module__].__file__ or "").parent

    def check(self) -> None:
        """Raise TypeError unless both templates are there, and say only what there is to say."""
        try:
            head, blank, _ = self.render("txt").partition("\n\n")
            self.mail(SOMEBODY)
        except (TemplateError, ValueError) as error:
            raise TypeError(f"{type(self).__name__}: {type(error).__name__}: {error}") from error
        if not (blank and head.startswith(SUBJECT)):
            raise TypeError(f"{type(self).__name__}: {self.template}.txt begins with '{SUBJECT}...' and an empty line")
        for form in FORMS:
            if unknown := self.unknown(form):
                raise TypeError(f"{type(self).__name__}: {self.template}.{form} says {', '.join(unknown)}")

    def unknown(self, form: Form) -> list[str]:
        """Return the names in a template that no field has, also where this letter's values do not lead."""
        found = environment(self.folder())
        said = meta.find_undeclared_variables(found.parse((self.folder() / f"{self.template}.{form}").read_text()))
        return sorted(said - found.globals.keys() - {field.name for field in fields(self)})


def one_line(value: object) -> str:
    """Return a value as one line without control characters."""
    return " ".join(CONTROL.sub(" ", str(value)).split())


def link(page: str, token: str = "") -> str:
    """Return a page's address; the token stands behind the `#`, which no browser sends to a server or its log."""
    return f"{settings.mail.link_base}/{page}" + (f"#token={token}" if token else "")


@cache
def environment(folder: Path) -> Environment:
    """Return what renders the templates of a folder, and the layout that all share."""
    made = Environment(
        loader=FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        finalize=one_line,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    made.globals |= {"project": settings.project_name, "link": link}
    return made


def check_letters(letters: Collection[Letter]) -> None:
    """Raise TypeError for a letter that could not be written, and for a class that has no example here."""
    for letter in letters:
        letter.check()
    if missing := set(Letter.__subclasses__()) - {type(letter) for letter in letters}:
        raise TypeError(f"no example in app/mails.py: {', '.join(sorted(one.__name__ for one in missing))}")
