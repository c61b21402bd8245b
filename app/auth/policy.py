"""Which new passwords are accepted (NIST SP 800-63B-4, 3.1.1.2): long ones that nobody would guess.

No character is asked for and none is refused. What counts is the whole password, in its normal form (NFKC): 15
characters at least, and more than `ENOUGH` guesses by zxcvbn's estimate, which knows common passwords and words, names,
rows of keys, repeats, sequences, dates, and what is known of the person and of this service.
"""

import re
import threading
from collections.abc import Iterable

from zxcvbn import zxcvbn

from app.auth.exceptions import WeakPasswordError
from app.auth.passwords import normal_form, passwords
from app.config import settings

SHORTEST_PASSWORD = 15
LONGEST_PASSWORD = 256

ENOUGH = 10**10
"""Guesses from which zxcvbn calls a password very unguessable."""

PART = 40
"""Characters that are looked at, from the start and from the end: the estimate's time grows with their square."""

SHORT_WORD = 2
"""Characters of a name that say nothing: they are part of too many words."""

# A symbol may stand for the letter that it looks like or for the digit on its key. To try every combination, as zxcvbn
# does, takes seconds for some passwords; each reading alone takes milliseconds.
READINGS = (str.maketrans("@({[<!|$+%", "accccilstx"), str.maketrans("!@#$%^&*()", "1234567890"))

one_at_a_time = threading.Lock()
"""Zxcvbn keeps the person's words in a global of its own."""


async def refuse_weak(password: str, words: Iterable[str] = (), *, field: str = "password") -> None:
    """Raise `WeakPasswordError`, which names `field`, for a password that is easy to guess.

    `words` are what is known of the person: address and name. Runs where passwords are hashed, and waits like they do.
    """
    reason = await passwords.run(weakness, password, *words)
    if reason:
        raise WeakPasswordError(errors=[{"loc": ["body", field], "msg": reason, "type": WeakPasswordError.code}])


def weakness(password: str, *words: str) -> str | None:
    """Return in words why a password is refused, never the password; None for a good one."""
    password = normal_form(password)
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        return f"A password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters"
    known = pieces([settings.project_name, settings.auth.issuer, *words])
    rest = without(password.lower(), known)
    parts = [rest[:PART], rest[-PART:]] if len(rest) > PART else [rest]
    # A part that is good is enough: whatever else a password holds makes it no easier to guess.
    guessed = list(dict.fromkeys([*known, *(word.translate(one) for one in READINGS for word in known)]))
    if any(all(estimate(text, guessed) > ENOUGH for text in readings(part)) for part in parts):
        return None
    return (
        "This password is easy to guess. Use several words that are not usually seen together, and neither your name, "
        "nor your address, nor the name of this service"
    )


def readings(text: str) -> set[str]:
    """Return a text as its symbols can be read; one without any is read in one way."""
    return {text.translate(reading) for reading in READINGS}


def estimate(text: str, known: list[str]) -> float:
    """Return how many guesses find a text, for somebody who has these words."""
    words: list[object] = [*known]
    with one_at_a_time:
        return float(zxcvbn(text, user_inputs=words)["guesses"])


def without(text: str, known: list[str]) -> str:
    """Return a text with a single letter in place of each known word, however long: more than that it is not worth."""
    for word in sorted(known, key=len, reverse=True):
        text = text.replace(word, word[0])
    return text


def pieces(words: Iterable[str]) -> list[str]:
    """Return texts and the words in them, in the form in which passwords are compared with them."""
    found = [normal_form(word).lower().strip() for word in words]
    found += [piece for word in found for piece in re.split(r"[\W_]+", word)]
    found += [re.sub(r"[\W_]+", "", word) for word in found]
    return sorted({piece for piece in found if len(piece) > SHORT_WORD})
