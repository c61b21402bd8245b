"""Mails of news: to each member who wants them, each mail on its own, and told apart by its Message-ID."""

import uuid
from collections.abc import AsyncIterator

import pytest

from app.core.tasks import enqueue
from app.modules.notifications.tasks import send_news
from app.modules.projects.schemas import ProjectCreate
from app.modules.projects.services import ProjectService
from tests.office import Office, choose, found_office
from tests.support import Cluster, found_team, join, register

DELIVERIES = "select name, status, attempts, error from outbox_entries where name = 'notifications.tasks.send_news'"


@pytest.fixture
async def office(cluster: Cluster) -> AsyncIterator[Office]:
    """Make an office for one test."""
    async with found_office(cluster) as found:
        yield found


async def test_who_wants_mails_gets_one_of_each_project(office: Office) -> None:
    """The creator too; not who did not ask, nor another tenant. Each is another message, and notices go on."""
    async with office.open() as client:
        team = await found_team(client, office.cluster, office.database)
        await office.verify(team.owner, team.member, team.viewer, team.stranger)
        for caller in (team.owner, team.member, team.stranger):
            assert await choose(caller, email=True) == {"in_app": True, "email": True}
        await team.owner.create_project(name="Größe <b>1</b>")
        await team.member.create_project(name="second")
        await office.settle()
        notices = (await team.viewer.call("GET", "/notifications")).json()["items"]
    first, second = "New project: Größe <b>1</b>", "New project: second"
    wanted = sorted((to.email, subject) for to in (team.owner, team.member) for subject in (first, second))
    assert sorted((mail.to, mail.subject) for mail in office.mailer.news()) == wanted
    assert len({uuid.UUID(mail.message_id) for mail in office.mailer.news()}) == 4
    assert all('in "Some Body" on Groundplan' in mail.text for mail in office.mailer.news())
    assert len(notices) == 2


async def test_a_refused_address_is_tried_again_alone(office: Office) -> None:
    """The others get theirs once; who is refused at first, by the same Message-ID; who always is, is on record."""
    async with office.open() as client:
        team = await found_team(client, office.cluster, office.database)
        people = (team.owner, team.admin, team.member)
        await office.verify(*people)
        for caller in people:
            await choose(caller, email=True)
        office.mailer.refused |= {team.admin.email: 2, team.member.email: 1000}
        await team.owner.create_project()
        await office.settle()
    attempts = office.mailer.news(refused=True)
    counts = [[mail.to for mail in attempts].count(caller.email) for caller in people]
    assert counts == [1, 3, 9]
    assert len({(mail.to, mail.message_id) for mail in attempts}) == 3
    assert sorted(mail.to for mail in office.mailer.news()) == sorted((team.owner.email, team.admin.email))
    rows = sorted((row.attempts, row.status, row.error) for row in await office.rows(DELIVERIES))
    assert [row[:2] for row in rows] == [(1, "finished"), (3, "finished"), (9, "dead")]
    assert rows[2][2] == f"OSError: 550 nobody of that name: {team.member.email}"


SPOILT = {
    "left": "delete from memberships where user_id = :user and role <> 'owner' returning 1",
    "disabled": "update users set disabled_at = now() where id = :user returning 1",
    "changed_their_mind": "update notification_preferences set email = false where user_id = :user returning 1",
    "suspended": "update tenants set suspended_at = now() where id = :tenant returning 1",
    "deleted": "update tenants set deleted_at = now() where id = :tenant returning 1",
    "no_module": "update tenants set disabled_modules = '{notifications}' where id = :tenant returning 1",
}


async def test_who_is_gone_meanwhile_gets_none(office: Office) -> None:
    """Between the event and the mail: left, disabled, another choice, a closed tenant. One who stayed gets theirs."""
    async with office.open() as client:
        callers = {}
        for case in (*SPOILT, "stays"):
            owner, guest = await register(client), await register(client)
            member = await join(office.cluster, office.database, guest, owner.tenant_id, "member")
            await office.verify(member)
            await choose(member, email=True)
            callers[case] = member
    async with office.without_relay() as work:
        for case, caller in callers.items():
            async with work.begin(tenant_id=caller.tenant_id, actor_id=caller.user_id) as ctx:
                await enqueue(ctx, send_news, user_id=caller.user_id, kind="project.created", title=case)
    for case, query in SPOILT.items():
        values = {"user": callers[case].user_id, "tenant": callers[case].tenant_id}
        assert await office.rows(query, **{name: value for name, value in values.items() if f":{name}" in query})
    async with office.open():
        await office.settle()
    assert [(mail.to, mail.subject) for mail in office.mailer.news()] == [
        (callers["stays"].email, "New project: stays")
    ]
    assert {row.status for row in await office.rows(DELIVERIES)} == {"finished"}


async def test_an_event_of_a_killed_process_is_told_by_the_next(office: Office) -> None:
    """Committed, and then nothing more: the next process sends the mail, once."""
    async with office.open() as client:
        owner = await register(client)
        await office.verify(owner)
        await choose(owner, email=True)
    async with office.without_relay() as work, work.begin(tenant_id=owner.tenant_id, actor_id=owner.user_id) as ctx:
        await ProjectService(ctx).create(ProjectCreate(name="left behind"))
    assert office.mailer.news() == []
    for _ in range(2):
        async with office.open():
            await office.settle()
    assert [mail.subject for mail in office.mailer.news()] == ["New project: left behind"]
