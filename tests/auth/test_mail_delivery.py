"""Mails with links outlive the process that promised them, and a mailer that is away."""

from collections.abc import AsyncIterator

import pytest

from app.auth.tasks import a_moment
from app.config import settings
from app.main import create_app
from app.services.mailer import Mail
from tests.auth.mailbox import NEW_PASSWORD, refused, reset, verify
from tests.office import Office, found_office
from tests.support import Cluster, register, serve
from tests.tenants.invited import NEW, accept, invite, new_address


@pytest.fixture
async def office(cluster: Cluster) -> AsyncIterator[Office]:
    """Make an office for one test."""
    async with found_office(cluster) as found:
        yield found


def token_of(mail: Mail) -> str:
    """Return the token of the link in a mail."""
    return mail.text.partition("#token=")[2].split()[0]


async def test_what_a_killed_process_promised_is_sent_by_the_next(office: Office) -> None:
    """Answered, and then nothing more: each link comes all the same, once, works, and lay in no row before."""
    guest = new_address()
    async with serve(create_app(url=office.cluster.url("app_rw", office.database))) as client:
        owner = await register(client)
        assert (await client.post("/auth/password/forgot", json={"email": owner.email})).status_code == 202
        assert (await client.post("/auth/password/forgot", json={"email": new_address()})).status_code == 202
        assert (await invite(owner, guest)).status_code == 201
        assert (await owner.call("POST", "/auth/email/verify/send")).status_code == 202
    left = await office.rows("select status, name, payload::text from outbox_entries order by id")
    assert [row.status for row in left] == ["queued"] * 5
    assert not any("gpl_" in row.payload or "gpi_" in row.payload for row in left)
    async with office.open() as client:
        await office.settle()
        mails = {mail.subject: mail for mail in office.mailer.sent}
        invitation, set_new = (
            mails["You are invited to Some Body"],
            mails[f"{settings.project_name}: set a new password"],
        )
        verifications = [mail for mail in office.mailer.sent if mail.subject.endswith(": confirm your address")]
        assert (invitation.to, set_new.to, len(verifications)) == (guest, owner.email, 2)
        assert sorted([refused(await verify(client, token_of(mail))) for mail in verifications]) == [False, True]
        assert not refused(await reset(client, token_of(set_new), NEW_PASSWORD))
        assert (await accept(client, token_of(invitation), **NEW)).status_code == 200
        await office.settle()
    assert len(office.mailer.sent) == 5
    assert office.mailer.sent[-1].subject == f"{settings.project_name}: your password was changed"


def test_nobody_foretells_when_a_reset_mail_is_made() -> None:
    """Within the time that was set, at random; what is measured afterwards tells nothing of the account."""
    moments = sorted(a_moment(2.0).total_seconds() for _ in range(200))
    assert 0 <= moments[0] < 0.5
    assert 1.5 < moments[-1] <= 2
    assert len(set(moments)) > 190


async def test_a_mail_that_is_sent_again_brings_the_link_that_works(office: Office) -> None:
    """Refused twice, the third one is sent: its link is good, those before it are not."""
    async with office.open() as client:
        owner = await register(client)
        await office.settle()
        office.mailer.attempts.clear()
        guest = new_address()
        office.mailer.refused |= {owner.email: 2, guest: 2}
        assert (await client.post("/auth/password/forgot", json={"email": owner.email})).status_code == 202
        assert (await invite(owner, guest)).status_code == 201
        await office.settle()
        links = [token_of(mail) for mail in office.mailer.attempts if mail.to == owner.email]
        assert [refused(await reset(client, link)) for link in links] == [True, True, False]
        places = [token_of(mail) for mail in office.mailer.attempts if mail.to == guest]
        answers = [await accept(client, place, **NEW) for place in places]
        assert [answer.status_code for answer in answers] == [400, 400, 200]
    assert not any(mail.message_id for mail in office.mailer.attempts if "#token=" in mail.text)
    changed = [mail for mail in office.mailer.sent if mail.subject.endswith("was changed")]
    assert len(changed) == 1
    assert changed[0].message_id
