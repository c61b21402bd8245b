"""Identifiers, time, and the heap."""

import datetime as dt
import subprocess
import sys
import time
import uuid

import pytest

from app.utils.helpers import canonical_uuid, utcnow, uuid7


def test_uuid7_is_what_the_standard_asks() -> None:
    """Version 7, the variant of RFC 9562, and the milliseconds since 1970 in front."""
    before = time.time_ns() // 1_000_000
    made = [uuid7() for _ in range(1000)]
    after = time.time_ns() // 1_000_000
    assert {one.version for one in made} == {7}
    assert {one.variant for one in made} == {uuid.RFC_4122}
    assert all(before <= one.int >> 80 <= after for one in made)
    assert len(set(made)) == 1000


def test_uuid7_is_random_in_every_other_bit() -> None:
    """Of the 74 bits that are neither time, version nor variant each one is sometimes set and sometimes not."""
    ones, zeros = 0, 0
    for _ in range(200):
        value = uuid7().int
        ones, zeros = ones | value, zeros | ~value
    random = ((1 << 80) - 1) & ~(0xF << 76) & ~(0x3 << 62)
    assert (ones & random).bit_count() == (zeros & random).bit_count() == 74


def test_uuid7_sorts_by_the_millisecond() -> None:
    """Of two that were made in different milliseconds the later one is greater: as a value, as text, as bytes."""
    made = [uuid7()]
    while len(made) < 5:
        following = uuid7()
        if following.int >> 80 != made[-1].int >> 80:
            made.append(following)
    assert made == sorted(made)
    assert [str(one) for one in made] == sorted(str(one) for one in made)
    assert [one.bytes for one in made] == sorted(one.bytes for one in made)


def test_utcnow_knows_its_zone() -> None:
    """The present is aware, and in UTC."""
    now = utcnow()
    assert now.tzinfo is dt.UTC
    assert abs(now.timestamp() - time.time()) < 5


ID = "0190163d-8694-739b-aea5-966c26f8ad91"


def test_a_canonical_identifier_is_read() -> None:
    """Lower case with dashes, of any version, is what is meant."""
    for text in (ID, str(uuid.UUID(int=0)), str(uuid.UUID(int=2**128 - 1))):
        assert canonical_uuid(text) == uuid.UUID(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ID.upper(),
        ID.replace("-", ""),
        f"{{{ID}}}",
        f"urn:uuid:{ID}",
        f" {ID}",
        f"{ID}\n",
        f"{ID},{ID}",
        ID[:-1],
        ID[:-1] + "g",
        ID.replace("0", "\uff10"),
        ID.replace("-", "_"),
        "0190163d86-94-739b-aea5-966c26f8ad91",
        "\0",
    ],
)
def test_another_spelling_is_none(text: str) -> None:
    """Whatever Python would accept beside the one spelling is no identifier here."""
    assert canonical_uuid(text) is None


def test_what_is_loaded_is_spared_by_the_collector() -> None:
    """In a process of its own: afterwards a collection looks at next to nothing."""
    script = (
        "import gc; from app.utils.helpers import spare_loaded_objects; "
        "spare_loaded_objects(); assert gc.get_freeze_count() > 1000 > len(gc.get_objects())"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)  # noqa: S603 - our own script
