"""How mails leave is said whole, or the boot is refused."""

from pathlib import Path

import pytest

from app.config import load
from app.sections import SettingsError


def boot(place: Path, **mail: str) -> str:
    """Return the transport of an installation with these settings."""
    (place / "settings.toml").write_text("")
    found = load(place, {f"APP_MAIL__{name.upper()}": value for name, value in mail.items()}).mail
    assert "hunter2" not in repr(found)
    return found.transport


def test_a_transport_follows_from_a_folder_or_is_named(tmp_path: Path) -> None:
    """A folder alone is enough for files; a password may be made of digits, and is never shown."""
    assert boot(tmp_path) == "memory"
    assert boot(tmp_path, folder="mails") == "file"
    assert boot(tmp_path, folder="mails", transport="ses") == "ses"
    assert boot(tmp_path, transport="smtp", smtp_host="mail.test", smtp_user="a", smtp_password="hunter2") == "smtp"
    assert boot(tmp_path, transport="smtp", smtp_host="127.0.0.1", smtp_tls="none", smtp_password="0123") == "smtp"


@pytest.mark.parametrize(
    ("mail", "said"),
    [
        ({"transport": "smtp"}, "mail.transport must not be smtp without mail.smtp_host"),
        ({"transport": "file"}, "mail.transport must not be file without mail.folder"),
        ({"transport": "pigeon"}, "mail.transport "),
        ({"smtp_host": "mail.test", "smtp_tls": "none"}, "mail.smtp_tls must be starttls or implicit"),
        ({"smtp_host": "mail.test\r\nHELO"}, "mail.smtp_host "),
        ({"timeout_seconds": "26"}, "mail.timeout_seconds "),
        ({"ses_endpoint": "ftp://x"}, "mail.ses_endpoint "),
        ({"sender": "a@b\r\nBcc: c@d"}, "mail.sender "),
    ],
)
def test_what_cannot_work_is_refused(tmp_path: Path, mail: dict[str, str], said: str) -> None:
    """With the key, and what is wrong."""
    with pytest.raises(SettingsError, match=said):
        boot(tmp_path, **mail)
