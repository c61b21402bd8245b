"""Files in a bucket of S3, or of what speaks its protocol."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from aiohttp import ClientPayloadError
from botocore.exceptions import BotoCoreError, ClientError

from app.sections import FileSettings, SettingsError
from app.services.filesystem import BLOCK, FileKey, Found, Link, Write
from app.utils.helpers import utcnow

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

PART = 8_388_608
"""Bytes of a part; S3 takes 10,000 parts of 5 MiB at least, all of one size but the last."""

CLIENT = AioConfig(
    connect_timeout=3,
    read_timeout=20,
    retries={"mode": "standard", "max_attempts": 2},
    signature_version="s3v4",
    # TLS and the lengths of the parts tell what was cut; further checksums would copy each part once more.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)


class S3Files:
    """Keeps files in one bucket. A small one is put at once, a larger one in parts, one part in memory at a time.

    The client opens with the first call, on the loop that makes it.
    """

    def __init__(self, bucket: str, **client: Any) -> None:
        self.bucket, self.options = bucket, client
        self.opened = AsyncExitStack()
        self.opening = asyncio.Lock()
        self.client: S3Client | None = None

    @classmethod
    def of(cls, config: FileSettings) -> Self:
        """Return the store of the settings; without a key in them, AWS's own places are looked into for one."""
        if not config.s3_bucket:
            raise SettingsError('files.s3_bucket is missing: files.store = "s3" needs it')
        return cls(
            config.s3_bucket,
            region_name=config.s3_region or None,
            endpoint_url=config.s3_endpoint or None,
            aws_access_key_id=config.s3_access_key or None,
            aws_secret_access_key=config.s3_secret_key.get_secret_value() or None,
        )

    async def connected(self) -> "S3Client":
        """Return the client; looking for credentials may fail like anything else that is asked of others."""
        async with self.opening:
            if self.client is not None:
                return self.client
            making: AbstractAsyncContextManager[S3Client] = get_session().create_client(
                "s3", config=CLIENT, **self.options
            )
            with refusals():
                self.client = client = await self.opened.enter_async_context(making)
            return client

    @asynccontextmanager
    async def create(self, key: FileKey) -> AsyncIterator[Write]:
        """Put a file; an upload in parts that fails is taken back, or swept later."""
        upload = PartedUpload(await self.connected(), {"Bucket": self.bucket, "Key": str(key)})
        try:
            yield upload.write
            await upload.finish()
        except BaseException:
            await upload.abort()
            raise

    async def size(self, key: FileKey) -> int | None:
        """Return how many bytes a file has; None for none."""
        client = await self.connected()
        try:
            with refusals():
                return (await client.head_object(Bucket=self.bucket, Key=str(key)))["ContentLength"]
        except FileNotFoundError:
            return None

    async def read(self, key: FileKey, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """Yield a file block by block."""
        if stop is not None and stop <= start:
            return
        client = await self.connected()
        wanted = {} if start == 0 and stop is None else {"Range": f"bytes={start}-{'' if stop is None else stop - 1}"}
        with refusals():
            answer: Any = await client.get_object(Bucket=self.bucket, Key=str(key), **wanted)  # type: ignore[arg-type]
            async with answer["Body"] as body:
                async for block in body.iter_chunks(BLOCK):
                    yield block

    async def remove(self, key: FileKey) -> None:
        """Delete a file; S3 does not mind when there is none."""
        client = await self.connected()
        with refusals():
            await client.delete_object(Bucket=self.bucket, Key=str(key))

    async def older(self, than: dt.timedelta) -> AsyncIterator[Found]:
        """Yield the files that were written longer ago, and the uploads in parts that were begun then.

        No list of objects shows those, and their parts cost. Of a file in parts S3 says when it was begun.
        """
        client, before = await self.connected(), utcnow() - than
        with refusals():
            async for objects in client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket):
                for one in objects.get("Contents", ()):
                    key = FileKey.read(one["Key"])
                    if key is not None and one["LastModified"] < before:
                        yield Found(key)
            async for uploads in client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket):
                for upload in uploads.get("Uploads", ()):
                    key = FileKey.read(upload["Key"])
                    if key is not None and upload["Initiated"] < before:
                        yield Found(key, upload["UploadId"])

    async def discard(self, found: Found) -> None:
        """Delete a file, or abort an upload in parts."""
        if not found.mark:
            await self.remove(found.key)
            return
        client = await self.connected()
        with refusals(), suppress(client.exceptions.NoSuchUpload):
            await client.abort_multipart_upload(Bucket=self.bucket, Key=str(found.key), UploadId=found.mark)

    async def link(self, key: FileKey, link: Link) -> str | None:
        """Return a presigned address; nothing is asked of S3 for it."""
        client = await self.connected()
        answer = {"ResponseContentType": link.content_type, "ResponseContentDisposition": link.disposition}
        with refusals():
            return await client.generate_presigned_url(
                "get_object", {"Bucket": self.bucket, "Key": str(key), **answer}, ExpiresIn=link.seconds
            )

    async def close(self) -> None:
        """Close the client and its connections."""
        async with self.opening:
            self.client = None
            await self.opened.aclose()


class PartedUpload:
    """One file on its way into the bucket."""

    def __init__(self, client: "S3Client", target: dict[str, Any]) -> None:
        self.client, self.target = client, target
        self.waiting = bytearray()
        self.parts: list[dict[str, Any]] = []
        self.upload_id = ""

    async def write(self, data: bytes) -> None:
        """Collect, and send what makes a whole part."""
        self.waiting += data
        while len(self.waiting) >= PART:
            part = bytes(memoryview(self.waiting)[:PART])
            del self.waiting[:PART]
            await self.send(part)

    async def send(self, part: bytes) -> None:
        """Send one part; the first one begins the upload."""
        with refusals():
            if not self.upload_id:
                self.upload_id = (await self.client.create_multipart_upload(**self.target))["UploadId"]
            number = len(self.parts) + 1
            sent = await self.client.upload_part(**self.target, UploadId=self.upload_id, PartNumber=number, Body=part)
            self.parts.append({"PartNumber": number, "ETag": sent["ETag"]})

    async def finish(self) -> None:
        """Send the rest, and have S3 make one object of it all."""
        rest = bytes(self.waiting)
        self.waiting.clear()
        if not self.upload_id:
            with refusals():
                await self.client.put_object(**self.target, Body=rest)
            return
        if rest:
            await self.send(rest)
        with refusals():
            await self.client.complete_multipart_upload(
                **self.target,
                UploadId=self.upload_id,
                MultipartUpload={"Parts": self.parts},  # type: ignore[typeddict-item]
            )

    async def abort(self) -> None:
        """Take back the parts; while S3 is away they stay for the sweep."""
        self.waiting.clear()
        if self.upload_id:
            with suppress(OSError), refusals():
                await self.client.abort_multipart_upload(**self.target, UploadId=self.upload_id)


class BucketError(OSError):
    """S3 refused, or could not be asked; the message names no key and no secret."""


@contextmanager
def refusals() -> Iterator[None]:
    """Raise `BucketError`, or FileNotFoundError for a file that is none, for what the client raises.

    What AWS's own places hold, such as an endpoint or a program that prints credentials, is read when it is needed:
    mistakes in there come as plain errors, among them the FileNotFoundError of a token's file.
    """
    try:
        yield
    except BucketError:
        raise
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code == "NoSuchKey" or (code, error.operation_name) == ("404", "HeadObject"):
            raise FileNotFoundError(f"S3: {code}") from error
        raise BucketError(f"S3 refused {error.operation_name}: {code}") from error
    except (BotoCoreError, ClientPayloadError, OSError, ValueError, RuntimeError) as error:
        raise BucketError(f"S3 does not answer: {cause(error)}") from error


def cause(error: Exception) -> str:
    """Return what a log may say of an error: of botocore's, whose words hold addresses, what kind it is, and the cause.

    Plain ones name the file, or what of AWS's own places cannot be read.
    """
    if not isinstance(error, BotoCoreError):
        return f"{type(error).__name__}: {error}"
    inner = error.kwargs.get("error")
    return type(error).__name__ + (f" ({type(inner).__name__})" if isinstance(inner, Exception) else "")
