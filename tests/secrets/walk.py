"""A run through every operation, well and badly, that remembers each secret it uses."""

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from httpx2 import AsyncClient, Response

from app.core.context import Context
from app.services.mailer import MemoryMailer
from tests.core.trial import Step
from tests.examples import Examples, operations_of
from tests.support import settled_of

LINK = re.compile(r"#token=(gp[a-z]_[\w-]+)$", re.MULTILINE)
SHOWN = ("access_token", "refresh_token", "key")
"""Fields of answers that are secrets."""


@dataclass
class Walk:
    """Somebody's way through an application; `secrets` holds what nobody may write down, by what it is."""

    app: FastAPI
    client: AsyncClient
    secrets: dict[str, str]
    requests: int = 0

    def new(self, what: str) -> str:
        """Return a password that was never used, and remember it."""
        return self.remember(what, f"{uuid.uuid4().hex} {uuid.uuid4().hex[:7]}/+&\u00e9")

    def remember(self, what: str, secret: str) -> str:
        """Remember a secret, and return it."""
        self.secrets[f"{what} {len(self.secrets)}"] = secret
        return secret

    async def call(self, method: str, path: str, token: str = "", **rest: Any) -> Response:
        """Send a request, and remember every secret that is answered."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = await self.client.request(method, path, headers=headers | rest.pop("headers", {}), **rest)
        self.requests += 1
        shown = answer.json() if answer.is_success and answer.headers["content-type"] == "application/json" else {}
        for name in SHOWN:
            if name in shown:
                self.remember(name, shown[name])
        return answer

    async def links(self) -> Sequence[str]:
        """Return the tokens of all links that were mailed, oldest first, and remember them."""
        work = self.app.state.serving.gate.work
        await settled_of(work)
        assert isinstance(work.services.mailer, MemoryMailer)
        found = [token for mail in work.services.mailer.sent for token in LINK.findall(mail.text)]
        for link in set(found) - set(self.secrets.values()):
            self.remember("link", link)
        return found

    async def go(self) -> None:
        """Go everywhere."""
        email, password = f"{uuid.uuid4().hex}@example.com", self.new("password")
        person = {"email": email, "password": password, "full_name": "Some Body", "tenant_name": "Some Body"}
        key = {"Idempotency-Key": self.remember("idempotency key", f"{uuid.uuid4()}")}
        for _ in range(2):
            assert (await self.call("POST", "/auth/register", json=person, headers=key)).status_code == 201
        other = await self.call("POST", "/auth/register", json=person | {"full_name": "Another"}, headers=key)
        assert other.status_code == 422
        await self.sign_in_badly(email)
        tokens = await self.sign_in(email, password)
        password = await self.change_passwords(email, password, tokens["access_token"])
        token = (await self.sign_in(email, password))["access_token"]
        places = (await self.call("GET", "/users/me", token)).json()["memberships"]
        selected = {"X-Tenant-ID": places[0]["tenant_id"]}
        await self.use_keys(token, selected)
        await self.invite(token, selected)
        await self.send_odd_bodies(token, selected)
        await self.fail(token, selected)
        await self.use_every_operation(token, selected)

    async def sign_in_badly(self, email: str) -> None:
        """Try wrong passwords and tokens, for an account and for none."""
        for address in (email, f"nobody-{email}"):
            body = {"email": address, "password": self.new("wrong password")}
            assert (await self.call("POST", "/auth/login", json=body)).status_code == 401
        wrong = self.remember("wrong refresh token", f"gpr_{uuid.uuid4().hex}{uuid.uuid4().hex[:11]}")
        assert (await self.call("POST", "/auth/refresh", json={"refresh_token": wrong})).status_code == 401
        await self.call("GET", "/users/me", self.remember("wrong access token", f"eyJhbGciOi.{uuid.uuid4().hex}.x"))

    async def sign_in(self, email: str, password: str) -> dict[str, str]:
        """Sign in by both ways, refresh twice, and use a token again."""
        form = {"grant_type": "password", "username": email, "password": password}
        assert (await self.call("POST", "/auth/token", data=form)).status_code == 200
        signed = await self.call("POST", "/auth/login", json={"email": email, "password": password})
        assert signed.status_code == 200, signed.text
        tokens: dict[str, str] = signed.json()
        for _ in range(2):
            answer = await self.call("POST", "/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
            assert answer.status_code == 200, answer.text
        return tokens

    async def change_passwords(self, email: str, password: str, token: str) -> str:
        """Change the password, forget it, and set it by the link; return the last one."""
        following, last = self.new("next password"), self.new("last password")
        for current, new in ((self.new("wrong present password"), following), (password, following)):
            body = {"current_password": current, "new_password": new}
            await self.call("POST", "/auth/password/change", token, json=body)
        await self.call("POST", "/auth/password/forgot", json={"email": email})
        links = await self.links()
        await self.call("POST", "/auth/email/verify", json={"token": links[0]})
        for body in ({"token": links[-1], "new_password": last}, {"token": links[-1], "new_password": password}):
            await self.call("POST", "/auth/password/reset", json=body)
        return last

    async def use_keys(self, token: str, selected: dict[str, str]) -> None:
        """Make a key, use it, rotate it with an overlap, and use both secrets."""
        body = {"name": "a key", "permissions": ["projects.read"]}
        made = (await self.call("POST", "/tenants/current/api-keys", token, json=body, headers=selected)).json()
        rotate = f"/tenants/current/api-keys/{made['id']}/rotate"
        rotated = await self.call("POST", rotate, token, json={"overlap_seconds": 600}, headers=selected)
        for secret in (made["key"], rotated.json()["key"]):
            assert (await self.call("GET", "/projects", secret)).status_code == 200
            await self.call("GET", f"/projects?api_key={secret}", secret)

    async def invite(self, token: str, selected: dict[str, str]) -> None:
        """Invite somebody, who comes in with a new account."""
        body = {"email": f"{uuid.uuid4().hex}@example.com", "role": "viewer"}
        invited = await self.call("POST", "/tenants/current/invitations", token, json=body, headers=selected)
        assert invited.status_code == 201, invited.text
        person = {"token": (await self.links())[-1], "full_name": "Invited", "password": self.new("guest's password")}
        accepted = await self.call("POST", "/invitations/accept", json=person)
        assert accepted.status_code == 200, accepted.text

    async def send_odd_bodies(self, token: str, selected: dict[str, str]) -> None:
        """Send passwords and tokens where nobody expects them."""
        secret = self.new("misplaced password")
        for body in ({"password": secret}, {"email": secret, "password": 1}, {secret: secret}, [secret], secret):
            for path in ("/auth/login", "/auth/register", "/auth/refresh", "/auth/password/reset"):
                assert (await self.call("POST", path, json=body)).is_client_error
            assert (await self.call("POST", "/projects", token, json=body, headers=selected)).is_client_error
        half = f'{{"password": "{secret}", '.encode()
        await self.call("POST", "/auth/login", content=half, headers={"Content-Type": "application/json"})
        await self.call("GET", f"/projects/{token}", token, headers=selected)
        await self.call("GET", "/projects", token, params={"access_token": token, "cursor": token}, headers=selected)
        await self.call("GET", f"/nowhere/{token}", params={"token": token}, headers={"Cookie": f"session={token}"})

    async def fail(self, token: str, selected: dict[str, str]) -> None:
        """Let an operation break whose error quotes what it was given."""
        body = {"name": "x"}
        for method in ("GET", "POST"):
            answer = await self.call(method, "/trial", token, headers=selected | {"Referer": token}, params=body)
            assert answer.status_code == 500

    async def use_every_operation(self, token: str, selected: dict[str, str]) -> None:
        """Call whatever there is, with a body that fits; each secret that a body brings is a new one."""
        document = self.app.openapi()
        for operation in operations_of(document):
            request = operation.request(Examples(document["components"]["schemas"], uuid.uuid4().hex))
            for kind in ("json", "data"):
                for name in request.get(kind, ()):
                    if name in {"password", "new_password", "current_password", "token", "refresh_token"}:
                        request[kind][name] = self.new(name)
            method, path = request.pop("method"), request.pop("path")
            if path != "/trial" and (method, path) not in ENDS:
                await self.call(method, path, token, headers=selected, **request)
        for method, path in ENDS:
            await self.call(method, path, token, headers=selected)


ENDS = [("DELETE", "/auth/sessions"), ("POST", "/tenants/current/leave"), ("DELETE", "/tenants/current")]
ENDS += [("POST", "/auth/logout")]
"""What would refuse the calls that follow: it comes last."""


def quoting(secrets: Mapping[str, str]) -> Step:
    """Return a step that breaks, and whose error quotes secrets as libraries do."""

    async def step(_: Context) -> None:
        token = next(secret for name, secret in secrets.items() if name.startswith("access_token"))
        link = next(secret for name, secret in secrets.items() if name.startswith("link"))
        raise RuntimeError(f"refused: Authorization: Bearer {token}, token={link}, {{'password': '{link}'}}")

    return step
