"""Files over HTTP: brought, shown, handed out, deleted, attached."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import quote

import pytest
from fastapi import FastAPI
from httpx2 import Response

from app.config import settings
from app.core.unit_of_work import UnitOfWork
from app.main import create_app
from app.services.filesystem import MemoryFiles
from tests.support import Caller, Cluster, Team, serve

SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
LIMIT = settings.server.upload_limit
QUOTA = settings.files.tenant_quota


async def send(caller: Caller, name: str, content: Any, **headers: str) -> Response:
    """Upload a file."""
    return await caller.call("POST", "/files", params={"name": name}, content=content, headers=headers)


async def upload(caller: Caller, name: str, content: Any) -> dict[str, Any]:
    """Upload a file, and return what the API shows of it."""
    answer = await send(caller, name, content)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def used(cluster: Cluster, database: str, caller: Caller) -> tuple[int, int, int]:
    """Return what a tenant's usage says, what its rows were charged together, and how many there are."""
    query = """
        select coalesce((select size from file_usage where tenant_id = :tenant), 0) as used,
            coalesce(sum(charged), 0) as charged, count(*) as count from files where tenant_id = :tenant
    """
    (row,) = await cluster.rows(database, query, tenant=caller.tenant_id)
    return row.used, int(row.charged), row.count


async def leave(cluster: Cluster, database: str, caller: Caller, room: int) -> None:
    """Leave so much room in a tenant's quota."""
    query = """
        insert into file_usage (tenant_id, id, size) values (:tenant, :tenant, :size)
        on conflict (tenant_id, id) do update set size = excluded.size returning 1
    """
    await cluster.rows(database, query, tenant=caller.tenant_id, size=QUOTA - room)


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    """Yield a content whose length nobody announces."""
    for part in parts:
        yield part


async def test_a_file_comes_back_as_it_went(team: Team, cluster: Cluster, database: str) -> None:
    """With its name, its digest, and the type that its content tells, whatever the client called it."""
    answer = await send(team.member, "Übersicht 1.png", PNG, **{"Content-Type": "text/html"})
    made = answer.json()
    assert made | {"id": "", "created_at": ""} == {
        "id": "",
        "name": "Übersicht 1.png",
        "content_type": "image/png",
        "size": len(PNG),
        "sha256": hashlib.sha256(PNG).hexdigest(),
        "created_by": str(team.member.user_id),
        "created_at": "",
    }
    assert (await team.viewer.call("GET", f"/files/{made['id']}")).json() == made
    assert (await team.viewer.call("GET", "/files")).json()["items"] == [made]
    content = await team.viewer.call("GET", f"/files/{made['id']}/content")
    assert (content.status_code, content.content, content.headers["Content-Type"]) == (200, PNG, "image/png")
    assert content.headers["Content-Disposition"] == (
        f"inline; filename=\"_bersicht 1.png\"; filename*=UTF-8''{quote('Übersicht 1.png')}"
    )
    assert await used(cluster, database, team.owner) == (4096, 4096, 1)
    link = (await team.viewer.call("GET", f"/files/{made['id']}/link")).json()
    assert link == {"url": f"/api/v1/files/{made['id']}/content", "expires_at": None}


async def test_what_happened_to_a_file_is_audited(
    team: Team, work: UnitOfWork, settle: Callable[[], Awaitable[None]]
) -> None:
    """Stored, downloaded, deleted; only who brought it deletes it, or who may manage files; then its object goes."""
    made = await upload(team.member, "a.txt", b"text")
    await team.viewer.call("GET", f"/files/{made['id']}/content")
    other = await upload(team.owner, "b.txt", b"text")
    assert (await team.member.call("DELETE", f"/files/{other['id']}")).status_code == 403
    assert (await team.stranger.call("DELETE", f"/files/{made['id']}")).status_code == 404
    for caller, file in ((team.member, made), (team.admin, other)):
        assert (await caller.call("DELETE", f"/files/{file['id']}")).status_code == 200
        assert (await caller.call("GET", f"/files/{file['id']}")).status_code == 404
    entries = (await team.owner.call("GET", "/audit", params={"object_id": made["id"]})).json()["items"]
    assert [entry["action"] for entry in entries] == ["file.deleted", "file.downloaded", "file.stored"]
    files = work.services.files
    assert isinstance(files, MemoryFiles)
    await settle()
    assert [key for key in files.kept if key.tenant_id == team.owner.tenant_id] == []


@pytest.mark.parametrize(
    ("content", "kind", "served", "how"),
    [
        (SVG, "image/svg+xml", "application/octet-stream", "attachment"),
        (b"<html><script>alert(1)</script>", "text/html", "application/octet-stream", "attachment"),
        (b"just <b>text</b> & more", "text/plain", "text/plain; charset=utf-8", "inline"),
        (b"%PDF-1.7\n", "application/pdf", "application/pdf", "inline"),
        (b"PK\x03\x04", "application/zip", "application/zip", "attachment"),
        (b"MZ\x90\x00", "application/octet-stream", "application/octet-stream", "attachment"),
        (b"", "application/octet-stream", "application/octet-stream", "attachment"),
        ("Zeichen, geschnitten: ü".encode() * 80, "text/plain", "text/plain; charset=utf-8", "inline"),
    ],
)
async def test_no_file_can_do_harm(owner: Caller, content: bytes, kind: str, served: str, how: str) -> None:
    """A type that could carry something out is saved under no type; every answer is sandboxed and not guessed at."""
    made = await upload(owner, "file.png", content)
    assert made["content_type"] == kind
    answer = await owner.call("GET", f"/files/{made['id']}/content")
    assert (answer.content, answer.headers["Content-Type"]) == (content, served)
    assert answer.headers["Content-Disposition"].startswith(f"{how}; ")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"].split("; ")


@pytest.mark.parametrize(
    "name",
    ["../../x", "a/b", "a\\b", "..", ".", "", " ", "a\0b", "x" * 4096, "gpj\u202eexe.", "a\u200fb", "a\nb", "\u2066x"],
)
async def test_a_name_that_is_none_is_refused(owner: Caller, name: str) -> None:
    """Paths, NUL, 4 kB, marks of direction, lines: 422 that names the place, and nothing is kept."""
    answer = await send(owner, name, b"x")
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["query", "name"])
    assert (await owner.call("GET", "/files")).json()["items"] == []


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        ("bytes=0-3", 206, "0123"),
        ("bytes=8-", 206, "89"),
        ("bytes=-2", 206, "89"),
        ("bytes=5-99", 206, "56789"),
        ("bytes=10-", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=5-2", 200, "0123456789"),
        ("bytes=0-1,4-5", 200, "0123456789"),
        ("lines=1-2", 200, "0123456789"),
    ],
)
async def test_a_part_is_served(owner: Caller, asked: str, status: int, part: str | None) -> None:
    """One range, as RFC 9110 has it; with If-Range only of the same content."""
    made = await upload(owner, "digits", b"0123456789")
    path = f"/files/{made['id']}/content"
    answer = await owner.call("GET", path, headers={"Range": asked})
    assert answer.status_code == status
    if part is not None:
        assert (answer.text, answer.headers["Content-Length"]) == (part, str(len(part)))
        start = "0123456789".index(part)
        shown = f"bytes {start}-{start + len(part) - 1}/10" if status == 206 else None
        assert answer.headers.get("Content-Range") == shown
        etag = answer.headers["ETag"]
        for tag, expected in ((etag, status), ('"another"', 200)):
            again = await owner.call("GET", path, headers={"Range": asked, "If-Range": tag})
            assert again.status_code == expected


async def test_what_is_too_large_is_refused(cluster: Cluster, database: str, owner: Caller) -> None:
    """By its announced length before a byte is read, else as soon as it shows; no row, no room, no object is left."""
    small = settings.model_copy(update={"server": settings.server.model_copy(update={"upload_limit": 100_000})})
    app = create_app(small, url=cluster.url("app_rw", database))
    store = store_of(app)
    async with serve(app) as client:
        me = Caller(client, owner.user_id, owner.email, owner.token, owner.tenant_id)
        for content in (bytes(100_001), pieces(bytes(60_000), bytes(60_000))):
            answer = await send(me, "large", content)
            assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
        assert (await used(cluster, database, owner), store.kept) == ((0, 0, 0), {})
        assert (await send(me, "just", pieces(bytes(50_000), bytes(50_000)))).status_code == 201
        assert await used(cluster, database, owner) == (100_000, 100_000, 1)


def store_of(app: FastAPI) -> MemoryFiles:
    """Return the store of an application."""
    found = app.state.serving.gate.work.services.files
    assert isinstance(found, MemoryFiles)
    return found


async def test_twenty_at_once_do_not_pass_the_quota(owner: Caller, cluster: Cluster, database: str) -> None:
    """Exactly as many come in as there is room for; the others are told why."""
    await leave(cluster, database, owner, 39_900)
    answers = await asyncio.gather(*(send(owner, f"{n}", bytes(5000)) for n in range(20)))
    codes = [answer.status_code for answer in answers]
    assert (codes.count(201), codes.count(409)) == (7, 13), codes
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"file_quota_exceeded"}
    assert (await used(cluster, database, owner)) == (QUOTA - 4900, 35_000, 7)
    # Without a length, what is left is set aside, and nothing more comes in.
    assert (await send(owner, "piecemeal", pieces(bytes(2500), bytes(2500)))).status_code == 409
    assert (await send(owner, "piecemeal", pieces(bytes(2500)))).status_code == 201
    assert (await used(cluster, database, owner)) == (QUOTA - 804, 39_096, 8)


async def test_no_file_is_free(owner: Caller, cluster: Cluster, database: str) -> None:
    """A row and an object cost, too: an empty file takes 4096 bytes of the quota, and gives them back."""
    await leave(cluster, database, owner, 2 * 4096)
    first, _ = [await upload(owner, name, content) for name, content in (("a", b""), ("b", pieces(b"")))]
    for content in (b"", pieces(b"")):
        assert (await send(owner, "c", content)).json()["code"] == "file_quota_exceeded"
    assert await used(cluster, database, owner) == (QUOTA, 8192, 2)
    assert (await owner.call("DELETE", f"/files/{first['id']}")).status_code == 200
    assert await used(cluster, database, owner) == (QUOTA - 4096, 4096, 1)


async def test_a_file_gives_back_what_it_was_charged(owner: Caller, cluster: Cluster, database: str) -> None:
    """Also one whose row is older than the least charge: it was charged its size."""
    file = await upload(owner, "old", b"old")
    await leave(cluster, database, owner, QUOTA - 3)
    query = "update files set charged = null where id = cast(:id as uuid) returning 1"
    await cluster.rows(database, query, id=file["id"])
    assert (await owner.call("DELETE", f"/files/{file['id']}")).status_code == 200
    assert await used(cluster, database, owner) == (0, 0, 0)


async def test_an_upload_takes_no_key_and_no_json_is_read_into(owner: Caller) -> None:
    """The body is content: it is kept as it is, also where it calls itself JSON and is none."""
    refused = await send(owner, "x", b"x", **{"Idempotency-Key": "a-key"})
    assert (refused.status_code, refused.json()["code"]) == (400, "idempotency_refused")
    answer = await send(owner, "half.json", b'{"a":', **{"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["content_type"]) == (201, "text/plain")


async def test_a_file_is_attached_to_a_project(team: Team) -> None:
    """Once, by who may change the project; it is listed, taken off, and goes with the file."""
    project, file = await team.member.create_project(), await upload(team.owner, "plan.txt", b"a plan")
    path = f"/projects/{project['id']}/attachments"
    body = {"file_id": file["id"]}
    assert (await team.viewer.call("POST", path, json=body)).status_code == 403
    made = await team.member.call("POST", path, json=body)
    assert (made.status_code, made.json()) == (201, file)
    assert (await team.member.call("POST", path, json=body)).json()["code"] == "already_attached"
    assert (await team.viewer.call("GET", path)).json()["items"] == [file]
    foreign = await upload(team.stranger, "theirs.txt", b"x")
    answer = await team.member.call("POST", path, json={"file_id": foreign["id"]})
    assert (answer.status_code, answer.json()["code"]) == (404, "file_not_found")
    assert (await team.member.call("DELETE", f"{path}/{file['id']}")).status_code == 200
    assert (await team.member.call("DELETE", f"{path}/{file['id']}")).json()["code"] == "attachment_not_found"
    await team.member.call("POST", path, json=body)
    assert (await team.owner.call("DELETE", f"/files/{file['id']}")).status_code == 200
    assert (await team.viewer.call("GET", path)).json()["items"] == []
