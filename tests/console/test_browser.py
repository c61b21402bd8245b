"""The console in a real browser: Chromium, with its scripts, its cookies and the content security policy."""

import os
import re
import shutil
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect
from redis import Redis

from app.core.broker import ENTRY_POINT
from app.core.outbox import Status
from app.main import create_app
from tests.console.addresses import ROOT, addresses, failed_task, run_by
from tests.console.browser import with_console
from tests.console.shift import GATES, WORKER, fail_once, open_shift, wait_for
from tests.core.bench import Bench
from tests.served import running
from tests.support import PASSWORD, Caller, Cluster, Team

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium")

MARK = "<img src=x onerror=alert(1)>"
SANDBOX = ["--no-sandbox"] if os.geteuid() == 0 else []
expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def site(cluster: Cluster, database: str, broker: str) -> Iterator[str]:
    """Serve the application with its console; yield its address."""
    app = create_app(with_console(broker), url=cluster.url("app_rw", database))
    with running(app) as (_, port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
async def shift(cluster: Cluster, broker: str) -> AsyncIterator[Bench]:
    """Let a relay and a worker of ours work on the broker that the dashboard shows."""
    async with open_shift(cluster, broker) as found:
        yield found


@pytest.fixture(scope="module")
async def chromium() -> AsyncIterator[Browser]:
    """Start the browser that the system has."""
    async with async_playwright() as playwright:
        options = ["--no-proxy-server", *SANDBOX]
        async with await playwright.chromium.launch(executable_path=CHROMIUM, args=options) as found:
            yield found


@pytest.fixture
async def page(chromium: Browser) -> AsyncIterator[Page]:
    """Yield a page in which nothing may go wrong: no script fails, none is refused, no dialog opens."""
    context = await chromium.new_context()
    context.set_default_timeout(120_000)
    found = await context.new_page()
    wrong: list[str] = []
    found.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
    found.on("pageerror", lambda error: wrong.append(str(error)))
    found.on("dialog", lambda dialog: wrong.append(dialog.message))
    yield found
    await context.close()
    assert wrong == []


async def sign_in(page: Page, site: str, email: str) -> None:
    """Type the address that people type, and fill the form that comes."""
    await page.goto(f"{site}/console")
    await page.get_by_label("E-mail address").fill(email)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()


async def test_a_failed_task_is_seen_put_back_and_succeeds(page: Page, site: str, shift: Bench, root: Caller) -> None:
    """From the sign-in to the result, by clicks alone: our worker fails it to death, and takes it up again."""
    handle = await shift.put(await shift.tenant(), fail_once, "one")
    await shift.until(handle, Status.dead)
    await sign_in(page, site, root.email)
    await expect(page.get_by_text(f"Signed in as {root.email}.")).to_be_visible()
    await page.get_by_role("link", name="Queues, tasks and workers").click()
    row = page.get_by_role("row").filter(has_text="default")
    await row.get_by_role("link", name="1", exact=True).click()
    await expect(page).to_have_url(f"{site}{ROOT}/0/view/jobs/default/failed/8/asc/1")
    task = page.get_by_role("row").filter(has_text=str(handle.id))
    await expect(task).to_contain_text("RuntimeError: it fails for the 1. time")
    await task.get_by_role("link", name="Requeue").click()
    await expect(task).to_have_count(0)
    assert (await shift.until(handle, Status.finished)).attempts == 2
    await page.goto(f"{site}{ROOT}/0/view/job/{handle.id}")
    shown = page.locator("#job-data")
    await expect(shown).to_contain_text(fail_once.name)
    await expect(shown).to_contain_text("finished")


async def test_all_failed_tasks_are_put_back(page: Page, site: str, shift: Bench, root: Caller) -> None:
    """The button whose address would answer a mere link elsewhere; it asks before, and posts with the token."""
    tenant = await shift.tenant()
    handles = [await shift.put(tenant, fail_once, name) for name in ("two", "three")]
    for handle in handles:
        await shift.until(handle, Status.dead)
    await sign_in(page, site, root.email)
    await page.goto(f"{site}{ROOT}/0/view/jobs/default/failed/8/asc/1")
    await page.get_by_role("link", name="Requeue All").click()
    async with page.expect_response("**/requeue/default") as answer:
        await page.get_by_role("button", name="Yes").click()
    assert await (await answer.value).json() == {"status": "OK", "count": 2}
    await expect(page.locator("table#jobs")).to_contain_text("No jobs.")
    for handle in handles:
        await shift.until(handle, Status.finished)


async def test_our_worker_is_seen_at_work(page: Page, site: str, shift: Bench, root: Caller) -> None:
    """With the task that it runs, which stands among the running ones; then idle."""
    handle = await shift.put(await shift.tenant(), wait_for, "seen")
    await shift.until(handle, Status.started)
    await sign_in(page, site, root.email)
    await page.goto(f"{site}{ROOT}/0/view/workers")
    worker = page.get_by_role("row").filter(has_text=WORKER)
    await expect(worker).to_contain_text("high, default, low")
    await expect(worker.get_by_role("link", name=ENTRY_POINT)).to_have_attribute("href", re.compile(str(handle.id)))
    await page.goto(f"{site}{ROOT}/0/view/jobs/default/started/8/asc/1")
    await expect(page.get_by_role("row").filter(has_text=str(handle.id))).to_contain_text(wait_for.name)
    GATES["seen"].set()
    await shift.until(handle, Status.finished)
    await expect(page.locator("table#jobs")).to_contain_text("No jobs.")
    await page.goto(f"{site}{ROOT}/0/view/workers")
    await expect(worker).to_contain_text("idle")


async def test_a_worker_and_its_task_are_seen_as_text(page: Page, site: str, redis: Redis, root: Caller) -> None:
    """What the broker holds is no markup: not in a name, a description, a result, a queue."""
    job, name = failed_task(redis, queue=f"q {MARK}"), f"worker {uuid.uuid4()} {MARK}"
    redis.hset(job.key, mapping={"description": f"do {MARK}", "meta": f'{{"note": "{MARK}"}}'})
    run_by(redis, name, job.id)
    await sign_in(page, site, root.email)
    await page.goto(f"{site}{ROOT}/0/view/workers")
    row = page.get_by_role("row").filter(has_text=name)
    await expect(row).to_contain_text("tests.console.addresses.fail_sometimes(1)")
    await row.get_by_role("link").click()
    await expect(page.locator("#job-data")).to_contain_text(f"do {MARK}")
    await expect(page.locator("#job-data")).to_contain_text(f'{{"note": "{MARK}"}}')
    assert await page.locator("img").count() == 0
    await page.goto(f"{site}{ROOT}/")
    await expect(page.get_by_role("row").filter(has_text=job.origin)).to_be_visible()
    assert await page.locator("img").count() == 0


async def test_signing_out_closes_the_pages(page: Page, site: str, root: Caller) -> None:
    """And the browser keeps no cookie of the session."""
    await sign_in(page, site, root.email)
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("heading", name="Sign in to the console")).to_be_visible()
    assert {cookie["name"] for cookie in await page.context.cookies()} == {"console-visit"}
    await page.goto(f"{site}{ROOT}/")
    await expect(page).to_have_url(f"{site}/console/login")


async def test_a_tenants_admin_gets_nowhere(chromium: Browser, site: str, team: Team) -> None:
    """The sign-in is refused with 403; with their token of the API so is every page and every change."""
    page = await chromium.new_page()
    async with page.expect_response(
        f"{site}/console/login",
    ) as first:
        await page.goto(f"{site}/console/login")
    assert (await first.value).status == 200
    await page.get_by_label("E-mail address").fill(team.admin.email)
    await page.get_by_label("Password").fill(PASSWORD)
    async with page.expect_response(lambda answer: answer.request.method == "POST") as answer:
        await page.get_by_role("button", name="Sign in").click()
    assert (await answer.value).status == 403
    await expect(page.get_by_role("alert")).to_contain_text("The sign-in was refused")
    await page.context.set_extra_http_headers({"Authorization": f"Bearer {team.admin.token}"})
    for address in addresses():
        seen = await page.goto(site + address.path)
        assert seen is not None
        assert seen.status == 403
        assert (await page.context.request.post(site + address.path)).status == 403
