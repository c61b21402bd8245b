"""The one form of an e-mail address."""

import pytest
from pydantic import TypeAdapter, ValidationError

from app.users.schemas import EmailAddress, normal_email

ADDRESS: TypeAdapter[str] = TypeAdapter(EmailAddress)


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("ada@example.com", "ada@example.com"),
        ("ADA@EXAMPLE.COM", "ada@example.com"),
        ("ada+News@example.com", "ada+news@example.com"),
        ("a.b.c@example.com", "a.b.c@example.com"),
        ("ada@BÜCHER.example", "ada@bücher.example"),
        ("ada@xn--bcher-kva.example", "ada@bücher.example"),
        ("re\u0301my@example.com", "r\u00e9my@example.com"),
        ("R\u00c9MY@example.com", "r\u00e9my@example.com"),
        ("用户@例え.テスト", "用户@例え.テスト"),
    ],
)
def test_normal_form(given: str, normal: str) -> None:
    """An address has one form, and the normal form is its own."""
    assert normal_email(given) == normal
    assert normal_email(normal) == normal


@pytest.mark.parametrize(
    "given",
    [
        "",
        "ada",
        "@example.com",
        "ada@",
        "ada@@example.com",
        "ada@exa mple.com",
        "ada@example.com\n",
        "ada@-a.com",
        "ada@example..com",
        "Ada <ada@example.com>",
        "ada@[127.0.0.1]",
        "a" * 65 + "@example.com",
        "a\0@example.com",
    ],
)
def test_what_is_no_address_is_refused_without_an_echo(given: str) -> None:
    """The message says that it is none; it never quotes it."""
    with pytest.raises(ValidationError) as caught:
        ADDRESS.validate_python(given)
    (fault,) = caught.value.errors()
    assert (fault["type"], fault["msg"]) == ("email", "This is not a valid e-mail address")


def test_a_longer_one_is_not_even_read() -> None:
    """321 characters are refused by their number, before anything looks into them."""
    with pytest.raises(ValidationError) as caught:
        ADDRESS.validate_python("a" * 321)
    assert [fault["type"] for fault in caught.value.errors()] == ["string_too_long"]
