"""A server that speaks S3's protocol, in this process, and a bucket on it for each test."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import botocore.session
from moto.server import ThreadedMotoServer

from app.services.s3 import S3Files

KEY, SECRET, REGION = "AKIDEXAMPLE", "a secret of the tests", "eu-central-1"


@dataclass
class Bucket:
    """One bucket; `away` makes its address lead nowhere."""

    address: str
    name: str = field(default_factory=lambda: f"files-{uuid.uuid4().hex[:12]}")

    @property
    def options(self) -> dict[str, Any]:
        """What a client is opened with."""
        return {
            "region_name": REGION,
            "endpoint_url": self.address,
            "aws_access_key_id": KEY,
            "aws_secret_access_key": SECRET,
        }

    def plain(self) -> Any:
        """Return a client that is none of ours."""
        return botocore.session.get_session().create_client("s3", **self.options)

    def make(self) -> None:
        """Create the bucket."""
        client = self.plain()
        client.create_bucket(Bucket=self.name, CreateBucketConfiguration={"LocationConstraint": REGION})
        client.close()

    def store(self) -> S3Files:
        """Return our store of it."""
        return S3Files(self.name, **self.options)


@contextmanager
def serving(port: int = 0) -> Iterator[str]:
    """Serve S3's protocol; yield the address."""
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    try:
        host, found = server.get_host_and_port()
        yield f"http://{host}:{found}"
    finally:
        server.stop()
