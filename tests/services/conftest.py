"""Every mailer, with somebody behind it; a bucket; and credentials for a cloud that is not there."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.services.bucket import Bucket, serving
from tests.services.posts import Post, moto, post_by

AWS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}


@pytest.fixture(scope="session")
def aws() -> Iterator[None]:
    """Let AWS's libraries find credentials of the tests, and nobody else's."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in AWS.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def ses(aws: None) -> Iterator[str]:
    """Return the address of an Amazon SES in this process."""
    with moto() as address:
        yield address


@pytest.fixture(scope="session", params=["memory", "file", "smtp", "ses"])
async def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Post]:
    """Open each of the mailers, once."""
    ses = request.getfixturevalue("ses") if request.param == "ses" else ""
    async with post_by(request.param, tmp_path_factory.mktemp("mails"), ses) as found:
        yield found


@pytest.fixture
def post(opened: Post) -> Post:
    """Return each of the mailers, by which nothing has arrived yet."""
    opened.clear()
    return opened


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """Yield the address of a server of S3's protocol."""
    with serving() as address:
        yield address


@pytest.fixture
def bucket(s3: str) -> Bucket:
    """Return a new bucket."""
    found = Bucket(s3)
    found.make()
    return found
