"""What only S3 has: parts, addresses that it signs, and times at which it is away."""

import asyncio
import datetime as dt
import os
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from app.sections import FileSettings, SettingsError
from app.services.filesystem import Found, Link, open_store
from app.services.s3 import PART, BucketError, S3Files
from tests.services.bucket import KEY, REGION, SECRET, Bucket
from tests.services.test_filesystem import DAY, NONE, a_key, begun, joined, listed, put
from tests.support import free_port

LINK = Link(300, "image/png", "inline; filename=\"a.png\"; filename*=UTF-8''a.png")


async def test_a_large_file_goes_in_parts(bucket: Bucket) -> None:
    """All but the last of one size; read again, it is the same."""
    store, key, content = bucket.store(), a_key(), os.urandom(PART + 1_000_000)
    await put(store, key, *(content[at : at + 300_000] for at in range(0, len(content), 300_000)))
    assert await joined(store.read(key)) == content
    assert bucket.plain().head_object(Bucket=bucket.name, Key=str(key), PartNumber=1)["ContentLength"] == PART
    assert await begun(store, NONE) == []
    await store.close()


async def test_parts_without_an_end_are_removed(bucket: Bucket) -> None:
    """A failed upload takes its parts back; those of a killed process go with the sweep, and no list shows them."""
    store, client = bucket.store(), bucket.plain()

    async def fail() -> None:
        async with store.create(a_key()) as write:
            await write(bytes(PART))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket.name)
    left, other = a_key(), a_key()
    for name in (str(left), str(left), str(other), f"{left}.bak", "not ours"):
        client.create_multipart_upload(Bucket=bucket.name, Key=name)
    assert await listed(store, NONE) == set()
    # The server of the tests says of each upload that it was begun in 2010.
    assert await begun(store, DAY * 36_500) == []
    found = await begun(store, NONE)
    assert sorted(one.key for one in found) == sorted([left, left, other])
    for _ in range(2):
        await store.discard(found[0])
        assert await begun(store, NONE) == found[1:]
    await store.close()


async def test_an_upload_that_s3_forgot_is_no_missing_file(bucket: Bucket) -> None:
    """Somebody else aborted it: the store failed, and whoever sends is not told that there is no such file."""
    store = bucket.store()

    async def forgotten() -> None:
        async with store.create(a_key()) as write:
            await write(bytes(PART))
            for found in await begun(store, NONE):
                await store.discard(found)

    with pytest.raises(BucketError, match="refused CompleteMultipartUpload"):
        await forgotten()
    await store.close()


async def test_an_address_is_signed_as_s3_asks(bucket: Bucket) -> None:
    """The signature is that of SigV4 over exactly this address, and it says for how long it is good.

    The server of the tests looks at neither; S3 does.
    """
    store, key = bucket.store(), a_key()
    await put(store, key, b"x")
    url = await store.link(key, LINK)
    assert url is not None
    parts = urlsplit(url)
    query = {name: value for name, (value,) in parse_qs(parts.query).items()}
    assert (parts.path, query["X-Amz-Expires"]) == (f"/{bucket.name}/{key}", "300")
    assert (query["response-content-type"], query["response-content-disposition"]) == (
        LINK.content_type,
        LINK.disposition,
    )
    signed_at = dt.datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)
    assert abs(dt.datetime.now(dt.UTC) - signed_at) < dt.timedelta(minutes=1)
    assert signature(url, signed_at, SECRET) == query["X-Amz-Signature"]
    assert signature(url, signed_at, "another secret") != query["X-Amz-Signature"]
    assert signature(url.replace("Expires=300", "Expires=301"), signed_at, SECRET) != query["X-Amz-Signature"]
    assert SECRET not in url
    await store.close()


def signature(url: str, signed_at: dt.datetime, secret: str) -> str:
    """Return the signature of an address by the rules of SigV4, computed step by step by botocore's signer."""
    auth = S3SigV4QueryAuth(Credentials(KEY, secret), "s3", REGION)
    bare = "&".join(part for part in urlsplit(url).query.split("&") if not part.startswith("X-Amz-Signature="))
    request = AWSRequest("GET", f"{url.partition('?')[0]}?{bare}", headers={"host": urlsplit(url).netloc})
    request.context["timestamp"] = signed_at.strftime("%Y%m%dT%H%M%SZ")
    text = auth.string_to_sign(request, auth.canonical_request(request))
    return str(auth.signature(text, request))


async def test_a_server_that_is_away_is_an_error_of_ours() -> None:
    """Every call says so, soon, and none tells a secret."""
    await refuse(Bucket(f"http://127.0.0.1:{free_port()}", "files").store())


async def refuse(store: S3Files) -> None:
    """Let every call meet a store that cannot be asked: an error of ours, no missing file, and no secret in it."""
    key = a_key()
    for call in (
        put(store, key, b"x"),
        put(store, key, bytes(PART)),
        store.size(key),
        joined(store.read(key)),
        store.remove(key),
        listed(store, NONE),
        store.discard(Found(key)),
        store.discard(Found(key, "an upload")),
    ):
        with pytest.raises(BucketError) as caught:
            await call
        assert SECRET not in str(caught.value)
    await store.close()


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("credential_process = false", "CredentialRetrievalError"),
        ("credential_process = echo nothing", "JSONDecodeError"),
        ("credential_process = /not/there", "FileNotFoundError: .*No such file"),
        (
            "role_arn = arn:aws:iam::1:role/x\nweb_identity_token_file = /not/there",
            "FileNotFoundError: .* '/not/there'",
        ),
        ("endpoint_url = http://-no-host-", "ValueError: Invalid endpoint"),
    ],
)
async def test_what_is_wrong_in_the_places_of_aws_is_an_error_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, said: str
) -> None:
    """They are looked into when the client opens, or is used: whatever is wrong there, the store is away."""
    config = tmp_path / "config"
    config.write_text(f"[default]\n{written}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    nobody = S3Files("files", region_name=REGION)
    await refuse(nobody)
    with pytest.raises(BucketError, match=f"S3 does not answer: {said}"):
        await nobody.link(a_key(), LINK)


async def test_a_server_of_something_else_is_an_error_of_ours() -> None:
    """Its 404 says nothing of a file, but to the question how large one is, which has no other answer."""

    async def know_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(know_nothing, "127.0.0.1", 0) as server:
        store = Bucket(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "files").store()
        for call in (put(store, a_key(), b"x"), joined(store.read(a_key())), store.remove(a_key())):
            with pytest.raises(BucketError, match=r"S3 refused \w+: 404"):
                await call
        await store.close()


async def test_a_file_that_is_cut_on_its_way_is_an_error_of_ours() -> None:
    """What arrived is no file; the connection ended before S3 had sent what it announced."""

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(cut, "127.0.0.1", 0) as server:
        store = Bucket(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "files").store()
        with pytest.raises(OSError, match="S3 does not answer: ClientPayloadError"):
            await joined(store.read(a_key()))
        await store.close()


async def test_a_bucket_that_is_missing_is_no_missing_file(bucket: Bucket) -> None:
    """A store that was set up wrongly must not look like an empty one."""
    store = Bucket(bucket.address, "nowhere").store()
    for call in (put(store, a_key(), b"x"), joined(store.read(a_key()))):
        with pytest.raises(OSError, match="NoSuchBucket") as caught:
            await call
        assert not isinstance(caught.value, FileNotFoundError)
    await store.close()


def test_the_settings_choose_the_store() -> None:
    """S3 wants a bucket; its client is loaded for nobody else."""
    assert isinstance(open_store(FileSettings(store="s3", s3_bucket="files")), S3Files)
    with pytest.raises(SettingsError, match="s3_bucket is missing"):
        open_store(FileSettings(store="s3"))
