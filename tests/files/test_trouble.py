"""A bucket that was set up wrongly: whoever asks is told that files are away, and the log why."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from app.config import settings
from app.main import create_app
from app.sections import FileSettings
from tests.extensions.support import check_problem
from tests.files.test_files import pieces, send, upload
from tests.files.test_kills import of_bucket
from tests.services.bucket import KEY, REGION, SECRET, Bucket, serving
from tests.support import Caller, Cluster, serve

CALLS = ("PutObject", "CreateMultipartUpload", "GetObject")


@pytest.fixture(scope="module")
def site() -> Iterator[Bucket]:
    """Yield a bucket on a server of its own."""
    with serving() as address:
        bucket = Bucket(address)
        bucket.make()
        yield bucket


@pytest.fixture
def refusing(site: Bucket) -> Iterator[None]:
    """Let the server know nobody's credentials."""
    switch = f"{site.address}/moto-api/reset-auth"
    httpx2.post(switch, content=b"0").raise_for_status()
    yield
    httpx2.post(switch, content=b"inf").raise_for_status()


@pytest.fixture
async def stored(owner: Caller, cluster: Cluster, database: str, site: Bucket) -> str:
    """Return a file that was brought while all was well."""
    async with before(owner, cluster, database, of_bucket(site)) as caller:
        return str((await upload(caller, "kept", b"content"))["id"])


@asynccontextmanager
async def before(owner: Caller, cluster: Cluster, database: str, files: dict[str, Any]) -> AsyncIterator[Caller]:
    """Yield the same person before an application that keeps files so."""
    config = settings.model_copy(update={"files": FileSettings(**files)})
    app = create_app(config, url=cluster.url("app_rw", database))
    async with serve(app) as client:
        yield Caller(client, owner.user_id, owner.email, owner.token, owner.tenant_id)
    await app.state.serving.gate.work.services.close()


class TestTrouble:
    """To bring a file, small or large, or to fetch one is a 503 that names nothing of ours."""

    @pytest.fixture(autouse=True)
    def _place(
        self,
        stored: str,
        owner: Caller,
        cluster: Cluster,
        database: str,
        site: Bucket,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Take what every test needs."""
        self.stored, self.owner, self.cluster, self.database = stored, owner, cluster, database
        self.site, self.written = site, capsys

    async def causes(self, **wrong: str) -> list[str]:
        """Return what the log says of three calls, each of which must be refused in words for everybody."""
        files = of_bucket(self.site) | wrong
        async with before(self.owner, self.cluster, self.database, files) as caller:
            self.written.readouterr()
            answers = [
                await send(caller, "small", b"x"),
                await send(caller, "large", pieces(*[bytes(1_000_000)] * 9)),
                await caller.call("GET", f"/files/{self.stored}/content"),
            ]
        for answer in answers:
            assert check_problem(answer.content, 503, "file_store_unavailable")["status"] == answer.status_code
            for hidden in (files["s3_bucket"], "127.0.0.1", KEY, SECRET, REGION, "S3", "Invalid", "NoSuch"):
                assert hidden not in answer.text
        lines = [json.loads(line) for line in self.written.readouterr().err.splitlines() if line.startswith("{")]
        return [line["error"] for line in lines if line["event"] == "file_store_away"]

    async def test_no_bucket(self) -> None:
        """One that was never made, or is somebody else's."""
        assert await self.causes(s3_bucket="nowhere") == [f"S3 refused {call}: NoSuchBucket" for call in CALLS]

    @pytest.mark.usefixtures("refusing")
    async def test_refused_credentials(self) -> None:
        """A key that was revoked."""
        assert await self.causes() == [f"S3 refused {call}: InvalidAccessKeyId" for call in CALLS]

    async def test_an_endpoint_that_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """In AWS's own variable, which no boot looks at."""
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://-no-host-")
        said = "S3 does not answer: ValueError: Invalid endpoint: http://-no-host-"
        assert await self.causes(s3_endpoint="") == [said] * 3
