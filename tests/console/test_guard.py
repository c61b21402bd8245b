"""What stands before the dashboard: nobody but a superuser sees or changes anything, and nothing changes unseen."""

import re

import pytest
from fastapi import FastAPI
from redis import Redis
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from app.console.rq import ENDPOINTS, Dashboard, Kind, without_password
from app.db.tenancy import SYSTEM_TENANT_ID
from app.main import create_app
from tests.console.addresses import ROOT, SHOWN, Address, addresses, failed_task, label, work_off
from tests.console.browser import HTML, Browser, browser, make_superuser, with_console
from tests.support import Caller, Cluster, Team, serve

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")
ALL = addresses()
CHANGES = sorted({one.path for one in ALL if one.kind is Kind.change})


def test_every_rule_is_walked() -> None:
    """Each endpoint of the table has an address, and each change of the dashboard's is in it."""
    assert {one.endpoint for one in ALL} == ENDPOINTS.keys()
    changing = {one.path for one in ALL if "POST" in one.methods}
    assert changing == {one.path for one in ALL if one.kind in (Kind.change, Kind.withheld)}
    assert len(CHANGES) == 3


async def test_a_tenants_admin_sees_and_changes_nothing(
    served: FastAPI, team: Team, root: Caller, cluster: Cluster, database: str
) -> None:
    """403 on every page and every change: by tokens and keys of the API, and by a session from better days."""
    body = {"name": "k", "permissions": ["projects.read"], "expires_in_days": 1}
    made = await team.owner.call("POST", "/tenants/current/api-keys", json=body)
    assert made.status_code == 201, made.text
    async with browser(served) as found:
        assert (await found.sign_in(team.admin.email)).status_code == 403
        for token in (team.admin.token, root.token, made.json()["key"]):
            headers = {"Authorization": f"Bearer {token}", **HTML}
            assert await statuses(found, headers) == {403}
        await found.sign_in(root.email)
        await make_superuser(cluster, database, root.user_id, really=False)
        assert await statuses(found, {"X-CSRFToken": found.client.cookies["_csrf_token"], **HTML}) == {403}


async def statuses(found: Browser, headers: dict[str, str]) -> set[int]:
    """Return what all addresses answer, by whatever method."""
    asked = [(method, address.path) for address in ALL for method in METHODS]
    return {(await found.client.request(method, path, headers=headers)).status_code for method, path in asked}


async def test_who_is_not_signed_in_is_led_to_the_sign_in(stranger: Browser) -> None:
    """A browser that wants a page; anybody else is told."""
    for address in ALL:
        led = await stranger.open(address.path)
        assert (led.status_code, led.headers["location"]) == (303, "/console/login")
        assert (await stranger.client.get(address.path)).status_code == 401
        assert (await stranger.client.post(address.path, headers=HTML)).status_code == 401


@pytest.mark.parametrize("address", [one for one in ALL if one.kind in SHOWN], ids=label)
async def test_what_a_page_tells_the_browser(inside: Browser, redis: Redis, address: Address) -> None:
    """No script but those of the page, no frame, no copy kept."""
    path = address.path.replace("no-such-task", failed_task(redis).id)
    answer = await inside.open(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["form-action"] == "'none'"
    assert "'unsafe-inline'" not in policy["script-src"]
    assert "set-cookie" not in answer.headers


async def test_a_script_runs_by_the_nonce_of_its_page_alone(inside: Browser, redis: Redis) -> None:
    """Another one with each answer, and on no script but the page's own."""
    path = f"{ROOT}/0/view/job/{failed_task(redis).id}"
    nonces = set()
    for _ in range(2):
        answer = await inside.open(path)
        inline = re.findall(r"<script(?![^>]*\b(?:src|name)=)([^>]*)>", answer.text)
        (nonce,) = re.findall(r"'nonce-([\w-]{20,})'", answer.headers["content-security-policy"])
        assert inline == [f' nonce="{nonce}"']
        nonces.add(nonce)
    assert len(nonces) == 2


@pytest.mark.parametrize("path", CHANGES)
async def test_a_change_needs_the_token_of_its_session(
    inside: Browser, served: FastAPI, root: Caller, cluster: Cluster, database: str, path: str
) -> None:
    """Missing, wrong, of another session, or of the sign-in page: refused, and not even tried."""
    async with browser(served) as other:
        await other.sign_in(root.email)
        another = other.client.cookies["_csrf_token"]
    for token in ("", "0" * 64, another):
        answer = await inside.change(path, token)
        assert (answer.status_code, answer.json()["code"]) == (403, "csrf_token")
    audit = "select count(*) from audit_entries where action = 'console.changed' and actor_id = :id"
    assert (await cluster.rows(database, audit, id=root.user_id))[0][0] == 0


@pytest.mark.parametrize("path", CHANGES)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT"])
async def test_a_change_is_made_by_post_alone(inside: Browser, path: str, method: str) -> None:
    """The dashboard's own requeues by GET; here that is 405, with the token too."""
    headers = {"X-CSRFToken": inside.client.cookies["_csrf_token"]}
    answer = await inside.client.request(method, path, headers=headers)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("address", [one for one in ALL if one.kind in SHOWN], ids=label)
async def test_a_page_is_only_looked_at(inside: Browser, address: Address) -> None:
    """405 for every method that is no reading."""
    assert (await inside.change(address.path)).status_code == 405


async def test_an_address_that_is_none(inside: Browser) -> None:
    """404, as a task, another broker and a file that there are not."""
    nothing = ("/nothing", "/0/view/job/none", "/1/view/job/none", "/1/data/workers.json", "/static/../web.py")
    for path in (*nothing, "/0/data/job/none.json", "/static/none.js"):
        assert (await inside.client.get(ROOT + path)).status_code == 404, path


async def test_a_failed_task_is_put_back_and_audited(
    inside: Browser, redis: Redis, root: Caller, cluster: Cluster, database: str
) -> None:
    """As it is: the same arguments, and the worker finishes it; the audit knows who, and that a second one failed."""
    job = failed_task(redis)
    data, path = job.data, f"{ROOT}/job/{job.id}/requeue"
    assert job.get_status() == JobStatus.FAILED
    assert (await inside.change(path)).json() == {"status": "OK"}
    assert (job.get_status(), Job.fetch(job.id, connection=redis, serializer=JSONSerializer).data) == (
        JobStatus.QUEUED,
        data,
    )
    again = await inside.change(path)
    assert (again.status_code, again.json()["code"]) == (409, "job_not_failed")
    work_off(redis, job.origin)
    assert job.get_status() == JobStatus.FINISHED
    assert job.return_value() == "it worked"
    audit = "select tenant_id, after, outcome from audit_entries where action = 'console.changed' and actor_id = :id"
    rows = await cluster.rows(database, f"{audit} order by id", id=root.user_id)
    assert [row.outcome for row in rows] == ["success", "success", "failure"]
    assert all(row.after == {"method": "POST", "path": path} for row in rows)
    assert {row.tenant_id for row in rows} == {SYSTEM_TENANT_ID}


async def test_all_failed_tasks_are_put_back(inside: Browser, redis: Redis) -> None:
    """Of one queue, and of no other; who is gone meanwhile is passed over."""
    first, other = failed_task(redis), failed_task(redis)
    second, gone = (failed_task(redis, queue=first.origin) for _ in range(2))
    redis.delete(gone.key)
    assert (await inside.change(f"{ROOT}/requeue/{first.origin}")).json() == {"status": "OK", "count": 2}
    assert [job.get_status() for job in (first, second, other)] == [
        JobStatus.QUEUED,
        JobStatus.QUEUED,
        JobStatus.FAILED,
    ]


async def test_looking_is_not_audited(inside: Browser, root: Caller, cluster: Cluster, database: str) -> None:
    """Pages ask every few seconds."""
    count = "select count(*) from audit_entries where actor_id = :id"
    before = await cluster.rows(database, count, id=root.user_id)
    for path in ("/", "/0/view/workers", "/0/data/workers.json"):
        assert (await inside.open(ROOT + path)).status_code == 200
    assert await cluster.rows(database, count, id=root.user_id) == before


@pytest.mark.parametrize("address", [one for one in ALL if one.kind is Kind.withheld], ids=label)
async def test_no_task_is_removed(inside: Browser, redis: Redis, address: Address) -> None:
    """A removed task is work that nobody does."""
    job = failed_task(redis)
    path = address.path.replace("no-such-task", job.id).replace("default", job.origin)
    answer = await inside.change(path)
    assert (answer.status_code, answer.json()["code"]) == (403, "withheld")
    assert job.get_status() == JobStatus.FAILED


async def test_a_broker_that_is_gone(cluster: Cluster, database: str, root: Caller) -> None:
    """A refusal that can be read, without a word of where the broker was; and the audit says that a change failed."""
    app = create_app(with_console("unix:///nowhere/valkey.sock"), url=cluster.url("app_rw", database))
    async with serve(app), browser(app) as found:
        await found.sign_in(root.email)
        for answer in (
            await found.client.get(f"{ROOT}/0/data/queues.json"),
            await found.client.get(f"{ROOT}/0/data/workers.json"),
            await found.open(f"{ROOT}/0/view/job/x"),
            await found.change(f"{ROOT}/requeue/x"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (503, "broker_unreachable")
            assert "nowhere" not in answer.text
    audit = "select outcome from audit_entries where action = 'console.changed' and actor_id = :id order by id"
    assert [row.outcome for row in await cluster.rows(database, audit, id=root.user_id)] == ["success", "failure"]


async def test_the_dashboard_sees_no_cookie_and_no_query(inside: Browser) -> None:
    """What it does not get, it cannot leak or misread; a query that is no ASCII breaks nothing."""
    answer = await inside.client.get(f"{ROOT}/?%ff=\u00e9", headers={"X-Forwarded-Host": "evil.example", **HTML})
    assert answer.status_code == 200
    assert "evil" not in answer.text


@pytest.mark.parametrize(
    ("url", "shown", "password"),
    [
        ("redis://someone:p%40ss@host:1/0", "redis://someone@host:1/0", "p@ss"),
        ("redis://:p@host", "redis://host", "p"),
        ("rediss://host:1", "rediss://host:1", None),
        ("unix:///run/valkey.sock?password=a%20b&db=2", "unix:///run/valkey.sock?db=2", "a b"),
    ],
)
def test_pages_do_not_show_the_password_of_the_broker(url: str, shown: str, password: str | None) -> None:
    """The dashboard gets it beside the address, and shows the address."""
    assert without_password(url) == (shown, password)
    assert vars(Dashboard(url).flask)["redis_conn"].get_connection_kwargs().get("password") == password
