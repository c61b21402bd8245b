"""Secrets do not get into a log, and what gets there is short and can be written."""

import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.extensions.redaction import LONGEST_TEXT, REDACTED, clean, clean_text, is_secret

JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NSJ9.SflKxwRJSMeKKF2QT4fwpMeJf36P"


@pytest.mark.parametrize(
    "name",
    [
        "password", "new_password", "passwordHash", "pwd", "token", "access_token", "refreshToken",
        "Authorization", "Proxy-Authorization", "cookie", "Set-Cookie", "secret", "client_secret",
        "signing_key", "signing_keys", "api_key", "apiKey", "X-API-Key", "private_key", "credentials", "otp",
        "totp", "jwt",
    ],
)  # fmt: skip
def test_secret_names(name: str) -> None:
    """A key that sounds like a secret is one, in any spelling."""
    assert is_secret(name)


@pytest.mark.parametrize("name", ["email", "option", "hotpath", "key", "idempotency_key", "passport"])
def test_harmless_names(name: str) -> None:
    """A key that only looks a little like one is not."""
    assert not is_secret(name)


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer hunter2",
        "bearer hunter2",
        "Authorization: Basic hunter2=",
        "basic hunter2hunter2hunter2",
        f"sent {JWT.replace('SflK', 'hunter2')}",
        f"/api/v1/projects/x{JWT.replace('SflK', 'hunter2')}",
        f"{JWT.replace('SflK', 'hunter2')}{JWT}",
        "/api/v1/xgpr_hunter2hunter2",
        "key gpk_hunter2hunter2",
        "key gp_hunter2",
        "gpinv_hunter2-hunter2",
        "postgresql+asyncpg://app_rw:hunter2@localhost/db",
        "password=hunter2",
        "{'password': 'hunter2'}",
        '{"refresh_token": "hunter2", "a": 1}',
        "APP_AUTH__SIGNING_KEYS=['hunter2', 'hunter2']",
        "Cookie: a=1; session=hunter2",
        "token: hunter2",
        "[type=string_type, input_value='hunter2, input_type=x', input_type=str]",
        "[SQL: INSERT INTO x VALUES ($1)]\n[parameters: ('a@b.c', 'hunter2')]\n(Background on this error)",
        "[parameters: ('a@b.c', 'hunter2')]",
    ],
)
def test_secrets_in_texts(text: str) -> None:
    """What looks like a secret is hidden inside a text too."""
    found = clean_text(text)
    assert "hunter2" not in found
    assert REDACTED in found


@pytest.mark.parametrize(
    "text", ["", "GET", "/api/v1/projects/{id}", "https://example.org/a?b=c", "keyboard eyes", "group gp"]
)
def test_harmless_texts(text: str) -> None:
    """Ordinary texts are left alone."""
    assert clean_text(text) == text


def test_any_depth() -> None:
    """Secrets are found in nested values and in pairs such as headers."""
    found = clean(
        {
            "user": {"profile": [{"password": "hunter2"}], "tokens": ["hunter2"]},
            "headers": [(b"authorization", b"hunter2"), ("cookie", "hunter2"), ("accept", "json")],
        }
    )
    assert "hunter2" not in str(found)
    assert found["headers"] == [["authorization", REDACTED], ["cookie", REDACTED], ["accept", "json"]]


def test_kinds_of_values() -> None:
    """Values are written as JSON where it has them, else as text; bytes only by their size."""
    found = clean(
        {
            "none": None, "flag": True, "number": 7, "float": 1.5, "huge": 2**70, "id": UUID(int=1),
            "when": datetime(2026, 1, 2, tzinfo=UTC), "money": Decimal("1.20"), "bytes": b"abc",
            "error": ValueError("bad"), "set": {1}, "keys": {3: 1, b"x": 2, None: 3},
        }
    )  # fmt: skip
    assert found == {
        "none": None, "flag": True, "number": 7, "float": 1.5, "huge": str(2**70), "id": str(UUID(int=1)),
        "when": "2026-01-02T00:00:00+00:00", "money": "1.20", "bytes": "[3 bytes]",
        "error": "ValueError: bad", "set": [1], "keys": {"3": 1, "x": 2, "None": 3},
    }  # fmt: skip


def test_bounds() -> None:
    """Long, wide, deep and endless values are cut, and say so."""
    endless: list[Any] = []
    endless.append(endless)
    found = clean(
        {
            "long": "x" * 1_000_000,
            "wide": list(range(1000)),
            "keys": {str(key): key for key in range(1000)},
            "endless": endless,
            "many": [[[0] * 50] * 50] * 50,
        }
    )
    assert found["long"] == "x" * LONGEST_TEXT + "[cut: 1000000 characters]"
    assert len(orjson.dumps(found)) < 20_000
    for name in ("wide", "keys", "endless", "many"):
        assert "[cut" in str(found[name])


def test_secret_across_the_cut() -> None:
    """A token that begins before the cut and ends behind it does not leave its first half."""
    found = clean_text("x" * (LONGEST_TEXT - 20) + " Bearer hunter2" + "y" * 100)
    assert "hunter2" not in found


def test_unprintable() -> None:
    """An object whose methods raise is named, and nothing raises."""

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no")

    class BrokenMapping(dict[str, int]):
        def items(self) -> Any:
            raise RuntimeError("no")

    found = clean({"a": Broken(), "b": BrokenMapping(x=1), "c": 10**5000})
    assert found == {
        "a": "[unprintable Broken]",
        "b": "[unprintable BrokenMapping]",
        "c": "[unprintable int]",
    }


@given(st.text(), st.dictionaries(st.text(), st.text() | st.integers() | st.binary(), max_size=5))
def test_everything_is_json(text: str, values: dict[str, Any]) -> None:
    """Whatever goes in, JSON comes out, on one line by any reading of the word."""
    written = orjson.dumps(clean({"text": text, "values": values})).decode()
    assert len(written.splitlines()) == 1


@pytest.mark.parametrize(
    "piece",
    [
        "ey-",
        "eyJ",
        "eyJ-",
        "gpr_",
        "token=[",
        'token="',
        "gp-",
        "://a:",
        "input_value=",
        "[parameters: ",
        "bearer ",
        "a" * 50,
        "secret",
        "cookie",
    ],
)
def test_hostile_texts_are_quick(piece: str) -> None:
    """No text makes the patterns run for long."""
    text = piece * (2 * LONGEST_TEXT // len(piece))
    started = time.process_time()
    clean_text(text)
    assert time.process_time() - started < 0.5
