"""Signing in to the console: superusers alone, in sessions like all others, by cookies that pages cannot read."""

import datetime as dt
from http.cookies import SimpleCookie

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient, Response

from app.auth.tokens import issue_console, read_access, read_console
from app.config import settings
from app.exceptions import UnauthenticatedError
from app.main import create_app
from tests.console.browser import HTML, Browser, browser, make_superuser, sessions_of, with_console
from tests.support import PASSWORD, Caller, Cluster, Team, limited, serve

START = "/console/"
LOGIN = "/console/login"


def cookies_of(answer: Response) -> dict[str, dict[str, str]]:
    """Return what an answer says of each cookie that it sets."""
    found = {}
    for line in answer.headers.get_list("set-cookie"):
        for name, morsel in SimpleCookie(line).items():
            found[name] = {key: str(value) for key, value in morsel.items() if value} | {"value": morsel.value}
    return found


async def test_a_superuser_signs_in_and_out(stranger: Browser, root: Caller, cluster: Cluster, database: str) -> None:
    """The start page shows who it is, and after signing out the same cookie is worth nothing."""
    led = await stranger.open(START)
    assert (led.status_code, led.headers["location"]) == (303, LOGIN)
    answer = await stranger.sign_in(root.email)
    assert (answer.status_code, answer.headers["location"]) == (303, START)
    page = await stranger.open(START)
    assert page.status_code == 200
    assert root.email in page.text
    kept = stranger.client.cookies["console"]
    out = await stranger.submit("/console/logout", csrf_token=await stranger.token())
    assert (out.status_code, out.headers["location"]) == (303, LOGIN)
    assert "console" not in stranger.client.cookies
    again = await stranger.client.get(START, headers={**HTML, "Cookie": f"console={kept}"})
    assert again.status_code == 303
    audit = await cluster.rows(
        database, "select action from audit_entries where actor_id = :id order by id", id=root.user_id
    )
    assert [row[0] for row in audit][-2:] == ["session.started", "session.ended"]


async def test_the_address_without_a_slash(stranger: Browser) -> None:
    """Leads on; it is what people type."""
    assert (await stranger.open("/console")).headers["location"] == START
    assert (await stranger.open("/console/rq")).headers["location"] == "/console/rq/"


async def test_behind_a_proxys_prefix(served: FastAPI, root: Caller) -> None:
    """Whatever leads on, leads to where the browser is; so do the cookie of the scripts and their addresses."""
    async with browser(served, root_path="/api") as found:
        assert (await found.open("/api/console")).headers["location"] == "/api/console/"
        assert (await found.open("/api/console/rq/")).headers["location"] == "/api/console/login"
        token = await found.token("/api/console/login")
        assert 'action="/api/console/login"' in (await found.open("/api/console/login")).text
        given = await found.submit("/api/console/login", email=root.email, password=PASSWORD, csrf_token=token)
        assert given.headers["location"] == "/api/console/"
        assert cookies_of(given)["_csrf_token"]["path"] == "/api/console/rq"
        assert '"/api/console/rq/"' in (await found.open("/api/console/rq/")).text
        assert (await found.change("/api/console/rq/requeue/none")).json() == {"status": "OK", "count": 0}


async def test_what_cookies_are_told(stranger: Browser, root: Caller) -> None:
    """No script reads the session, and another site sends none with a form; the token is for scripts, and strict."""
    form = cookies_of(await stranger.open(LOGIN))
    assert form["console-visit"].keys() == {"value", "path", "httponly", "samesite"}
    assert form["console-visit"]["samesite"] == "strict"
    given = cookies_of(await stranger.sign_in(root.email))
    assert given["console"].keys() == {"value", "path", "httponly", "samesite"}
    assert (given["console"]["path"], given["console"]["samesite"]) == ("/", "lax")
    assert given["_csrf_token"].keys() == {"value", "path", "samesite"}
    assert (given["_csrf_token"]["path"], given["_csrf_token"]["samesite"]) == ("/console/rq", "strict")


async def test_in_production_cookies_are_for_https_alone(cluster: Cluster, database: str, root: Caller) -> None:
    """And for this host alone, which the prefix makes browsers check."""
    app = create_app(with_console(env="production"), url=cluster.url("app_rw", database))
    async with serve(app), browser(app) as found:
        form = await found.open(LOGIN)
        visit = cookies_of(form)["__Host-console-visit"]
        token = form.text.partition('name="csrf_token" value="')[2][:64]
        fields = {"email": root.email, "password": PASSWORD, "csrf_token": token}
        header = {**HTML, "Cookie": f"__Host-console-visit={visit['value']}"}
        given = cookies_of(await found.client.post(LOGIN, data=fields, headers=header))
    assert given.keys() == {"__Host-console", "_csrf_token", "__Host-console-visit"}
    assert all(cookie["secure"] for cookie in (visit, *given.values()))
    assert given["__Host-console"]["httponly"]
    assert {visit["path"], given["__Host-console"]["path"]} == {"/"}


async def test_a_refusal_does_not_tell_why(
    stranger: Browser, team: Team, root: Caller, cluster: Cluster, database: str
) -> None:
    """A wrong password, nobody's address, a tenant's owner and admin with the right one: one page, and no session."""
    before = {one.email: await sessions_of(cluster, database, one) for one in (team.owner, team.admin, root)}
    answers = [
        await stranger.sign_in(root.email, "not the password"),
        await stranger.sign_in("nobody@example.com"),
        await stranger.sign_in("no address at all"),
        await stranger.sign_in(team.owner.email),
        await stranger.sign_in(team.admin.email),
    ]
    assert {answer.status_code for answer in answers} == {403}
    assert len({answer.text for answer in answers}) == 1
    assert "console" not in stranger.client.cookies
    after = {one.email: await sessions_of(cluster, database, one) for one in (team.owner, team.admin, root)}
    assert after == before
    refused = "select count(*) from audit_entries where action = 'session.refused' and object_id = :id"
    assert (await cluster.rows(database, refused, id=team.admin.user_id))[0][0] == 1


async def test_a_disabled_superuser_is_refused(
    stranger: Browser, root: Caller, cluster: Cluster, database: str
) -> None:
    """The right password is wrong, too."""
    await cluster.rows(database, "update users set disabled_at = now() where id = :id returning 1", id=root.user_id)
    assert (await stranger.sign_in(root.email)).status_code == 403


async def test_guessing_ends(cluster: Cluster, database: str, root: Caller, team: Team) -> None:
    """The limits of the API's sign-in; the right password of who is no superuser counts as a guess."""
    config = with_console(limits=limited(sign_in="2/hour").limits)
    app = create_app(config, url=cluster.url("app_rw", database))
    async with serve(app), browser(app) as found:
        for email in (root.email, team.admin.email):
            tries = [await found.sign_in(email, PASSWORD if email != root.email else "a guess") for _ in range(3)]
            assert [answer.status_code for answer in tries] == [403, 403, 429]
            assert int(tries[-1].headers["retry-after"]) > 0
        assert (await found.sign_in(root.email)).status_code == 429


@pytest.mark.parametrize("token", ["", "0" * 64, "another's"])
async def test_a_sign_in_from_elsewhere_is_refused(
    stranger: Browser, served: FastAPI, root: Caller, token: str
) -> None:
    """Without the token of this very browser's page the right password starts nothing."""
    await stranger.open(LOGIN)
    if token == "another's":
        async with browser(served) as other:
            token = await other.token(LOGIN)
    answer = await stranger.submit(LOGIN, email=root.email, password=PASSWORD, csrf_token=token)
    assert answer.status_code == 403
    assert "console" not in stranger.client.cookies


async def test_a_sign_in_without_a_cookie_is_refused(stranger: Browser, root: Caller) -> None:
    """A form on another site has the token, but not the cookie."""
    token = await stranger.token(LOGIN)
    stranger.client.cookies.clear()
    answer = await stranger.submit(LOGIN, email=root.email, password=PASSWORD, csrf_token=token)
    assert answer.status_code == 403


async def test_a_planted_session_is_not_taken_over(stranger: Browser, inside: Browser, root: Caller) -> None:
    """Who signs in gets a name that nobody knew before, whatever cookies were there."""
    planted = inside.client.cookies["console"]
    token = await stranger.token(LOGIN)
    stranger.client.cookies.set("console", planted)
    answer = await stranger.submit(LOGIN, email=root.email, password=PASSWORD, csrf_token=token)
    mine = cookies_of(answer)["console"]["value"]
    assert read_console(mine).session_id != read_console(planted).session_id


async def test_who_is_signed_in_is_led_on(inside: Browser) -> None:
    """The sign-in page is not shown twice."""
    assert (await inside.open(LOGIN)).headers["location"] == START


@pytest.mark.parametrize("token", [None, "0" * 64])
async def test_signing_out_needs_the_token(inside: Browser, token: str | None) -> None:
    """Another site signs nobody out."""
    answer = await inside.submit("/console/logout", **({"csrf_token": token} if token else {}))
    assert answer.status_code == 403
    assert (await inside.open(START)).status_code == 200


async def test_a_session_is_listed_and_ended_by_the_api(inside: Browser, root: Caller, client: AsyncClient) -> None:
    """It is one of the person's devices; ended there, it is over here from the next request on."""
    listed = (await root.call("GET", "/auth/sessions")).json()["items"]
    (mine,) = [one for one in listed if one["user_agent"].startswith("console: ")]
    assert (await inside.open(START)).status_code == 200
    assert (await root.call("DELETE", f"/auth/sessions/{mine['id']}")).status_code == 200
    assert (await inside.open(START)).status_code == 303


async def test_a_disabled_person_is_out_at_once(inside: Browser, root: Caller, cluster: Cluster, database: str) -> None:
    """Although the session goes on in the table."""
    await cluster.rows(database, "update users set disabled_at = now() where id = :id returning 1", id=root.user_id)
    assert (await inside.open(START)).status_code == 303


async def test_a_superuser_no_more_is_refused_at_once(
    inside: Browser, root: Caller, cluster: Cluster, database: str
) -> None:
    """Signed in or not; and let in again once they are one again."""
    await make_superuser(cluster, database, root.user_id, really=False)
    assert (await inside.open(START)).status_code == 403
    assert (await inside.change("/console/rq/requeue/default")).status_code == 403
    await make_superuser(cluster, database, root.user_id)
    assert (await inside.open(START)).status_code == 200


async def expires(cluster: Cluster, database: str, root: Caller) -> dt.datetime:
    """Return when the session of the console ends."""
    query = "select expires_at from auth_sessions where user_id = :id and user_agent like 'console: %'"
    found: dt.datetime = (await cluster.rows(database, query, id=root.user_id))[0][0]
    return found


async def set_times(cluster: Cluster, database: str, root: Caller, change: str) -> None:
    """Change the times of the session of the console."""
    query = f"update auth_sessions set {change} where user_id = :id and user_agent like 'console: %' returning 1"
    assert await cluster.rows(database, query, id=root.user_id)


async def test_a_session_ends_when_nobody_works(inside: Browser, root: Caller, cluster: Cluster, database: str) -> None:
    """A page that somebody opens lets it live on; a page that polls does not."""
    await set_times(cluster, database, root, "expires_at = now() + interval '1 minute'")
    short = await expires(cluster, database, root)
    assert (await inside.client.get("/console/rq/0/data/queues.json")).status_code == 200
    assert await expires(cluster, database, root) == short
    assert (await inside.open("/console/rq/")).status_code == 200
    left = await expires(cluster, database, root) - dt.datetime.now(dt.UTC)
    assert abs(left.total_seconds() - settings.auth.console_idle_seconds) < 60
    await set_times(cluster, database, root, "expires_at = now()")
    assert (await inside.open("/console/rq/")).status_code == 303
    assert (await inside.client.get("/console/rq/0/data/queues.json")).status_code == 401


async def test_a_session_ends_however_much_it_is_used(
    inside: Browser, root: Caller, cluster: Cluster, database: str
) -> None:
    """Near its end a page lets it live no longer than that."""
    began = f"created_at = now() - interval '{settings.auth.console_seconds - 60} seconds'"
    await set_times(cluster, database, root, began)
    assert (await inside.open(START)).status_code == 200
    left = await expires(cluster, database, root) - dt.datetime.now(dt.UTC)
    assert left.total_seconds() <= 60


async def test_a_token_of_the_api_is_no_cookie(stranger: Browser, root: Caller) -> None:
    """And the cookie is no token of the API: a stolen one opens the console alone."""
    stranger.client.cookies.set("console", root.token)
    assert (await stranger.open(START)).status_code == 303
    cookie = issue_console(root.user_id, read_access(root.token).session_id)
    forged = {"Authorization": f"Bearer {cookie}"}
    assert (await root.client.get("/users/me", headers=forged)).status_code == 401


@pytest.mark.parametrize("cookie", ["", "x", "a.b.c", "\u00e9".encode().decode("latin-1")])
def test_a_cookie_that_is_none(cookie: str) -> None:
    """It claims nothing."""
    with pytest.raises(UnauthenticatedError):
        read_console(cookie)


async def test_without_a_broker_the_start_page_says_so(cluster: Cluster, database: str, root: Caller) -> None:
    """And there is no dashboard."""
    app = create_app(with_console(), url=cluster.url("app_rw", database))
    async with serve(app), browser(app) as found:
        await found.sign_in(root.email)
        assert "There is no broker" in (await found.open(START)).text
        assert (await found.open("/console/rq/")).status_code == 404


async def test_switched_off_there_is_no_console(client: AsyncClient) -> None:
    """As it is unless somebody says otherwise."""
    for path in ("/console", START, LOGIN, "/console/rq/"):
        assert (await client.get(f"http://test{path}")).status_code == 404
