"""Mails in words: what values cannot do to them, and what is found before they are sent."""

import re
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from app.core.mails import post
from app.core.unit_of_work import UnitOfWork
from app.mails import MAILS
from app.services.mailer.letters import link, one_line
from tests.commands.support import call, start

HOSTILE = 'Evil\r\nBcc: b@x.y\n\n\u2028<script>alert(1)</script>\0\x1b[2J {{ 7 * 7 }} & "quoted"'


@pytest.mark.parametrize("name", MAILS)
def test_values_write_neither_lines_nor_tags(name: str) -> None:
    """Whatever a tenant calls itself, a mail has the lines and the tags of its templates."""
    example = MAILS[name]
    texts = [field.name for field in fields(example) if isinstance(getattr(example, field.name), str)]
    hostile = type(example)(**{**vars(example), **dict.fromkeys(texts, HOSTILE)})
    plain, mail = example.mail("a@example.com"), hostile.mail("a@example.com")
    assert mail.text.count("\n") == plain.text.count("\n")
    assert re.findall(r"<[/!a-z]+", mail.html) == re.findall(r"<[/!a-z]+", plain.html)
    assert not re.search(r"[\0\x1b]", mail.text + mail.html + mail.subject)
    assert "49" not in mail.text
    message = mail.as_message("no-reply@example.com")
    assert message.keys() == plain.as_message("no-reply@example.com").keys()


def test_a_link_hides_its_token_from_servers() -> None:
    """It stands in the fragment."""
    assert link("page", "secret") == "http://127.0.0.1:8000/page#token=secret"
    assert one_line(" a \n\n b\x07c ") == "a b c"


FAULTS = [
    ({}, "TemplateNotFound"),
    ({"txt": "Subject: Hi\n\n{{ word }}\n"}, "TemplateNotFound"),
    ({"txt": "Subject: Hi\n\n{{ wrod }}\n", "html": ""}, "'wrod' is undefined"),
    ({"txt": "Subject: Hi\n\n{% if not word %}{{ wrod }}{% endif %}\n", "html": ""}, "note.txt says wrod"),
    ({"txt": "Subject: Hi\n\n{{ word\n", "html": ""}, "TemplateSyntaxError"),
    ({"txt": "Hi\n\n{{ word }}\n", "html": ""}, "begins with 'Subject: ...'"),
    ({"txt": "Subject: Hi\n{{ word }}\n\n", "html": ""}, "line break"),
    ({"txt": "Subject: Hi\n\n{{ word }}\n", "html": "{{ word }}"}, "fine"),
]

NOTES = """
from dataclasses import dataclass
from app.services.mailer.letters import Letter

@dataclass(frozen=True)
class NoteLetter(Letter):
    template = "note"
    word: str
"""

PROGRAM = """
import importlib.util, sys
from app.services.mailer.letters import check_letters

def complain(step):
    try:
        step()
    except TypeError as error:
        return " ".join(str(error).split())
    return "fine"

letters = []
for number, path in enumerate(sys.argv[1:]):
    spec = importlib.util.spec_from_file_location(f"notes{number}", path)
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    letters.append(module.NoteLetter("word"))
    print(complain(letters[-1].check))
print(complain(lambda: check_letters(letters[-1:])))
"""
"""In a process of its own, because a class that was made stays known for as long as its process lives."""


def test_what_could_not_be_sent_is_found_at_the_start(tmp_path: Path) -> None:
    """A template that is not there, a name that nobody fills in, a class without an example."""
    paths = []
    for number, (files, _) in enumerate(FAULTS):
        folder = tmp_path / str(number)
        folder.mkdir()
        for form, content in files.items():
            (folder / f"note.{form}").write_text(content)
        (folder / "notes.py").write_text(NOTES)
        paths.append(str(folder / "notes.py"))
    found = start((sys.executable, "-c", PROGRAM), paths, "", {})
    assert found.code == 0, found.err
    wanted = [said for _, said in FAULTS] + ["no example in app/mails.py: NoteLetter"]
    for said, line in zip(wanted, found.out.splitlines(), strict=True):
        assert said in line


async def test_a_mail_leaves_by_the_outbox_alone(work: UnitOfWork) -> None:
    """A request cannot send one: its change could be rolled back afterwards."""
    async with work.begin() as ctx:
        with pytest.raises(TypeError, match="ChangedLetter can be sent by a task"):
            await post(ctx, "a@example.com", MAILS["changed"])


def test_mails_are_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Each by name, in every form, also into a file; an unknown name is told with those that there are."""
    assert call("mail", "list") == 0
    listed = capsys.readouterr().out
    for name, letter in MAILS.items():
        assert letter.mail("a@example.com").subject in listed
        for form, start_of_it in (("text", "Subject: "), ("html", "<!doctype html>"), ("eml", "From: ")):
            assert call("mail", "preview", name, "--format", form) == 0
            assert capsys.readouterr().out.startswith(start_of_it)
    target = tmp_path / "changed.html"
    assert call("mail", "preview", "changed", "--format", "html", "--output", str(target)) == 0
    assert target.read_text() == MAILS["changed"].render("html")
    assert call("mail", "preview", "changed", "--output", str(tmp_path)) == 1
    assert "cannot be written" in capsys.readouterr().err
    assert call("mail", "preview", "nonsense") == 2
    assert "there is no mail 'nonsense'" in capsys.readouterr().err
