"""What somebody who can write to the broker can do to who looks: nothing runs, and the page answers."""

import base64
import json
import pickle
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from httpx2 import Response
from redis import Redis
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from app.console.rq import Dashboard, Kind
from tests.console.addresses import ROOT, SHOWN, addresses, failed_task, run_by
from tests.console.browser import Browser

MARK = "<img src=x onerror=alert(1)>"


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        """Return what pickle calls."""
        return Path.touch, (self.path,)


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    """Yield the file that a forged task would write; it is not there afterwards."""
    path = tmp_path / "it ran"
    yield path
    assert not path.exists()


def forge(redis: Redis, queue: str, fields: dict[str, bytes], result: dict[str, bytes] | None = None) -> str:
    """Change a failed task behind RQ's back, put it into every registry, and let a worker say that it runs it."""
    job = failed_task(redis, queue=queue)
    for name, value in fields.items():
        redis.hset(job.key, name, value)
    if result:
        redis.xadd(f"rq:results:{job.id}", result)  # type: ignore[arg-type]
    redis.rpush(f"rq:queue:{queue}", job.id)
    redis.zadd(f"rq:wip:{queue}", {f"{job.id}:e": 9_999_999_999})
    for registry in ("failed", "finished", "deferred", "scheduled", "canceled"):
        redis.zadd(f"rq:{registry}:{queue}", {job.id: 9_999_999_999})
    run_by(redis, f"worker of {queue}", job.id)
    return job.id


def no_inside(answer: Response) -> None:
    """Check that a refusal shows nothing of how it came about; tasks that failed have stacks of their own."""
    assert answer.status_code == 200 or not any(
        word in answer.text for word in ("Traceback", "site-packages", "pickle", '.py", line')
    )


async def visit(inside: Browser, job_id: str, queue: str, *, allowed: set[int]) -> None:
    """Ask every address of the dashboard, of every registry, for a forged task."""
    registries = ("queued", "failed", "started", "finished", "deferred", "scheduled", "canceled")
    asked = {one.path: one for registry in registries for one in addresses(job_id, queue, registry)}
    for path, address in asked.items():
        answer = await (inside.open(path) if address.kind in SHOWN else inside.change(path))
        no_inside(answer)
        if address.kind in SHOWN:
            assert answer.status_code in allowed, (path, answer.text)


def bombs(marker: Path) -> tuple[bytes, bytes]:
    """Return a pickle that runs, and one of a task's data that does."""
    return pickle.dumps(Bomb(marker)), pickle.dumps(("os.system", None, (f"touch '{marker}'",), {"x": Bomb(marker)}))


def test_the_bomb_is_one(tmp_path: Path) -> None:
    """Or the tests below would prove nothing: RQ's own default runs it by reading the task's page."""
    bomb, data = bombs(tmp_path / "it ran")
    for one in (bomb, data):
        pickle.loads(one)  # noqa: S301 - it is ours
        assert (tmp_path / "it ran").exists()
        (tmp_path / "it ran").unlink()


async def test_forged_pickles_are_not_read(inside: Browser, redis: Redis, marker: Path) -> None:
    """As data, meta, result and a result in its stream, compressed or not: shown as unreadable, everywhere."""
    bomb, data = bombs(marker)
    for number, packed in enumerate((data, zlib.compress(data))):
        queue = f"packed {number}"
        fields = {"data": packed, "meta": bomb, "result": bomb, "created_at": b"2026-01-01T00:00:00Z"}
        job_id = forge(redis, queue, fields, {"type": b"1", "return_value": base64.b64encode(bomb)})
        await visit(inside, job_id, queue, allowed={200})
        shown = (await inside.open(f"{ROOT}/0/data/job/{job_id}.json")).json()
        assert shown["result"] == "(unreadable)"
        assert json.loads(shown["metadata"]) == "(unreadable)"


async def test_a_forged_pickle_is_put_back_unread(inside: Browser, redis: Redis, marker: Path) -> None:
    """By its own address and with all others: RQ writes it as it was, and whoever reads it is a worker of JSON."""
    bomb, data = bombs(marker)
    for number, path in enumerate((f"{ROOT}/job/{{}}/requeue", f"{ROOT}/requeue/back 1")):
        queue = f"back {number}"
        job = failed_task(redis, queue=queue)
        redis.hset(job.key, mapping={"data": zlib.compress(data), "meta": bomb})
        no_inside(answer := await inside.change(path.format(job.id)))
        assert answer.status_code == 200, answer.text
        assert redis.hget(job.key, "data") == zlib.compress(data)


async def test_a_function_that_is_none_of_ours_is_not_imported(
    inside: Browser, redis: Redis, tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module that would write a file when it is imported: its name is shown, as text."""
    (tmp_path / "a_trap.py").write_text(f"import pathlib\npathlib.Path({str(marker)!r}).touch()\n")
    monkeypatch.syspath_prepend(tmp_path)
    data = json.dumps(["a_trap.run", None, [], {}]).encode()
    fields = {"data": data, "success_callback_name": b"a_trap.good", "failure_callback_name": b"a_trap.bad"}
    job_id = forge(redis, "names", fields)
    await visit(inside, job_id, "names", allowed={200})
    workers = (await inside.open(f"{ROOT}/0/data/workers.json")).json()["workers"]
    (mine,) = [one for one in workers if one["name"] == "worker of names"]
    assert mine["current_job"]["call_string"] == "a_trap.run()"
    assert mine["current_job"]["job_id"] == job_id


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("data", b"\x80"),
        ("data", b"[1]"),
        ("meta", b"[" * 100_000),
        ("meta", b'{"x": NaN}'),
        ("created_at", b"never"),
        ("status", b"dancing"),
        ("timeout", b"x"),
        ("origin", b"\xff"),
        ("dependency_ids", b"{"),
    ],
)
async def test_what_is_no_task_at_all(inside: Browser, redis: Redis, field: str, value: bytes) -> None:
    """Shown as far as it can be; else the answer says that it cannot be shown, and no more."""
    queue = f"odd {field} {len(value)}"
    job_id = forge(redis, queue, {field: value})
    try:
        await visit(inside, job_id, queue, allowed={200, 500})
        for address in addresses(job_id, queue):
            if address.kind is Kind.page:
                assert (await inside.open(address.path)).status_code == 200
    finally:
        clear(redis, queue, job_id)


def clear(redis: Redis, queue: str, job_id: str) -> None:
    """Remove a worker that other tests would meet."""
    redis.srem("rq:workers", f"rq:worker:worker of {queue}")
    redis.delete(Job.key_for(job_id))


async def test_what_is_no_result(inside: Browser, redis: Redis) -> None:
    """A stream whose entries are none of RQ's."""
    job_id = forge(redis, "results", {}, {"type": b"x", "exc_string": b"no base64"})
    answer = await inside.open(f"{ROOT}/0/data/job/{job_id}.json")
    assert (answer.status_code, answer.json()["code"]) == (500, "unreadable")
    no_inside(answer)


async def test_markup_is_shown_as_text(inside: Browser, redis: Redis) -> None:
    """In the name of a queue, which stands in a page and in its script."""
    for name in (f"q'{MARK}</script>", "q');alert(1);//"):
        Queue(name, connection=redis, serializer=JSONSerializer).enqueue("tests.nothing")
        path = next(one for one in addresses(queue="QUEUE") if "/view/jobs/QUEUE" in one.path)
        page = await inside.open(path.path.replace("QUEUE", name.replace("/", "%2F").replace('"', "%22")))
        if page.status_code == 200:
            assert MARK not in page.text
            assert "');alert(1)" not in page.text


def test_every_template_escapes() -> None:
    """Underscore's `<%=` is left only where the value is escaped beside it, and no script is without its nonce."""
    environment = Dashboard("redis://nowhere.invalid").flask.jinja_env
    assert environment.loader is not None
    names = environment.list_templates(extensions=["html", "js"])
    found = [str(environment.preprocess(environment.loader.get_source(environment, name)[0], name)) for name in names]
    everything = "".join(found)
    assert everything.count("<%-") > 20
    assert everything.count("<%=") == everything.count("<%= $('<div/>')") == 2
    assert everything.count("nonce=") == 1
    assert '<script type="text/javascript">' not in everything
