"""Which new passwords are refused, and in which words."""

import string
import time
import uuid
from typing import Any

import pytest
from httpx2 import AsyncClient

from app.auth.policy import weakness
from app.config import settings
from tests.support import PASSWORD, sign_in

WORDS = ("olivia.lake@example.com", "Olivia Lake-Kvantressa")
GUESSED = [
    "passwordpassword",
    "Password12345678",
    "P@ssw0rdP@ssw0rd",
    "p@$$w0rd p@$$w0rd",
    "thisisapassword",
    "another password",
    "iloveyouiloveyou",
    "letmeinletmeinletmein",
    "123456789012345",
    "!@#$%^&*()!@#$%^",
    "abcdefghijklmnop",
    "qwertyuiopasdfgh",
    "1qaz2wsx3edc4rfv",
    "asdfghjkl;'zxcvbnm",
    "january02012020",
    "aaaaaaaaaaaaaaaa",
    "x" * 256,
    "🔑" * 20,
    "abc" * 20,
    "".join(chr(0xFF41 + letter) for letter in range(16)),
    "olivia.lake@example.com",
    "OLIVIA.LAKE@EXAMPLE.COM",
    "oliviaoliviaolivia",
    "Olivia Lake-Kvantressa",
    "kvantressa-kvantressa",
    "oliviakvantressa",
    " ".join([settings.project_name] * 4),
    f"{settings.project_name * 3} demo".lower(),
    f"{settings.project_name.lower()}123456123456",
]
GOOD = [
    PASSWORD,
    "correct horse battery staple",
    "three quiet otters",
    "пароль🔑 密码 и ключ",
    "Tr7#kq9!vZp2@xW",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa then four otters at dawn",
    "4@8({[<369&#!1/|0$5+7%2",
]


@pytest.mark.parametrize("password", GUESSED)
def test_what_is_easy_to_guess_is_refused(password: str) -> None:
    """Common passwords, rows of keys, repeats, sequences, dates, and what is known of the person and the service."""
    assert (weakness(password, *WORDS) or "").startswith("This password is easy to guess.")


@pytest.mark.parametrize("password", GOOD)
def test_everything_else_is_accepted(password: str) -> None:
    """No kind of character is asked for, and none refused."""
    assert weakness(password, *WORDS) is None


def test_what_is_known_of_the_person_counts() -> None:
    """The very same password is good for somebody else."""
    assert weakness("oliviakvantressa", *WORDS)
    assert weakness("oliviakvantressa", "gwen@example.com", "Gwen") is None


@pytest.mark.parametrize(("length", "good"), [(14, False), (15, True), (256, True), (257, False)])
def test_the_length_is_counted_in_characters(length: int, good: bool) -> None:
    """15 to 256 of the normal form, whatever number of bytes they are."""
    text = ("冷たい湖と二本の木" + string.punctuation + "где-то там " * 30)[:length]
    assert len(text) == length
    assert (weakness(text) is None) == good
    assert good or weakness(text) == "A password has 15 to 256 characters"


def test_no_password_takes_long() -> None:
    """The longest, made of all that can be read in several ways, takes a bounded time of the processor."""
    since = time.thread_time()
    for text in ("4@8({[<369&#!1/|0$5+7%2", "1470", "0123456789", "19471947", "7|1!7|1!"):
        weakness((text * 256)[:256], *WORDS)
    assert time.thread_time() - since < 5


def body_of(password: Any) -> dict[str, Any]:
    """Return what registers somebody whom nobody knows."""
    email = f"{uuid.uuid4().hex}@example.com"
    return {"email": email, "password": password, "full_name": "Olivia Lake", "tenant_name": "Acme"}


@pytest.mark.parametrize("password", ["passwordpassword", "olivialakeolivialake", "qwertyuiopasdfgh"])
async def test_a_refusal_says_why_and_echoes_nothing(client: AsyncClient, password: str) -> None:
    """It is 422 `weak_password`, names the field, says why in words, and nobody is registered."""
    body = body_of(password)
    answer = await client.post("/auth/register", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "weak_password")
    (fault,) = answer.json()["errors"]
    assert (fault["loc"], fault["type"]) == (["body", "password"], "weak_password")
    assert "easy to guess" in fault["msg"]
    assert password not in answer.text
    assert (await client.post("/auth/login", json={"email": body["email"], "password": password})).status_code == 401
    assert (await client.post("/auth/register", json=body | {"password": PASSWORD})).status_code == 201


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("password", "String should have at least 15 characters"),
        ("a" * 14, "String should have at least 15 characters"),
        ("e\u0301" * 14, "String should have at least 15 characters"),
        ("", "String should have at least 1 character"),
        ("y" * 257, "String should have at most 256 characters"),
        ("\ufdfa" * 20, "String should have at most 256 characters"),
        ("y" * 20_000, "String should have at most 1024 characters"),
    ],
)
async def test_a_length_is_said_in_characters(client: AsyncClient, password: str, said: str) -> None:
    """Characters are counted in the normal form: a letter with its accent is one, a ligature all its letters."""
    answer = await client.post("/auth/register", json=body_of(password))
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    (fault,) = answer.json()["errors"]
    assert (fault["loc"], fault["msg"]) == (["body", "password"], said)


@pytest.mark.parametrize(
    ("given", "typed"),
    [
        ("caf\u00e9 a la plage, \u00e9t\u00e9", "cafe\u0301 a la plage, e\u0301te\u0301"),
        ("\u212bngstr\u00f6m, \ufb01ve of them", "\u00c5ngstro\u0308m, five of them"),
        ("\uff11\uff12 quiet otters there", "12 quiet otters there"),
        ("e\u0301" * 120 + "four quiet otters", "\u00e9" * 120 + "four quiet otters"),
    ],
    ids=["accents", "ligatures", "width", "long"],
)
async def test_one_password_is_spelled_in_several_ways(client: AsyncClient, given: str, typed: str) -> None:
    """What is equal in NFKC signs in, whichever keyboard it comes from; another letter does not."""
    body = body_of(given)
    assert given != typed
    assert (await client.post("/auth/register", json=body)).status_code == 201
    for spelling in (given, typed):
        await sign_in(client, body["email"], spelling)
    wrong = {"email": body["email"], "password": typed.replace("e", "3")}
    assert (await client.post("/auth/login", json=wrong)).status_code == 401
