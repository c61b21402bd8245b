"""Every form that a secret could be written in, and everything that is written."""

import base64
import itertools
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from redis.asyncio import Redis
from sqlalchemy import text

from tests.support import superuser

SHORTEST = 8
"""Characters of a form below which a coincidence is no find."""

TABLES = """
    select table_schema as schema, table_name as name from information_schema.tables
    where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')
"""


def forms_of(secret: str) -> set[bytes]:
    """Return a secret as it is, as base64 at each of three offsets, in hexadecimal and encoded for an address."""
    raw = secret.encode()
    found = {raw, raw.hex().encode(), raw.hex().upper().encode(), quote(secret, safe="").encode()}
    for offset, encode in itertools.product(range(3), (base64.b64encode, base64.urlsafe_b64encode)):
        # What stands beside the secret may change the characters at both ends.
        found.add(encode(b"\0" * offset + raw)[4 * (offset > 0) : -4])
    return {form for form in found if len(form) >= SHORTEST}


def finds(secrets: Mapping[str, str], places: Mapping[str, bytes]) -> Iterator[str]:
    """Yield in words which secret stands where, in whatever form; never the secret itself."""
    for name, secret in secrets.items():
        for place, written in places.items():
            if any(form in written for form in forms_of(secret)):
                yield f"{name} in {place}"


async def rows_of(url: str) -> AsyncIterator[tuple[str, bytes]]:
    """Yield each table of a database with all its rows: as text, where bytes are hexadecimal, and bytes as they are."""
    async with superuser(url).begin() as connection:
        for table in list(await connection.execute(text(TABLES))):
            name = f'{table.schema}."{table.name}"'
            rows = (await connection.execute(text(f"select * from {name}"))).all()
            lines = (await connection.execute(text(f"select one::text from {name} one"))).scalars()
            values = (value for row in rows for value in row if isinstance(value, bytes | memoryview))
            yield table.name, b"\n".join([*(line.encode() for line in lines), *map(bytes, values)])


async def keys_of(url: str) -> bytes:
    """Return every key of a Valkey with its value, read by its type and dumped."""
    found: list[bytes] = []
    async with Redis.from_url(url) as client:
        broker: Any = client
        async for key in broker.scan_iter(count=1000):
            kind = (await broker.type(key)).decode()
            found += [key, await broker.dump(key) or b"", repr(await value_of(broker, key, kind)).encode()]
    return b"\n".join(found)


async def value_of(broker: Any, key: bytes, kind: str) -> Any:
    """Return the value of a key; KeyError for a type that is not known here."""
    readers = {
        "string": lambda: broker.get(key),
        "hash": lambda: broker.hgetall(key),
        "list": lambda: broker.lrange(key, 0, -1),
        "set": lambda: broker.smembers(key),
        "zset": lambda: broker.zrange(key, 0, -1, withscores=True),
        "stream": lambda: broker.xrange(key),
        "none": lambda: broker.get(key),
    }
    return await readers[kind]()
