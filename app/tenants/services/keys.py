"""The rules of API keys and service accounts."""

import datetime as dt
import uuid

from app.core.context import Context
from app.tenants.events import ApiKeyCreated, ApiKeyRevoked, ApiKeyRotated, ServiceAccountCreated, ServiceAccountDeleted
from app.tenants.exceptions import GrantRefusedError
from app.tenants.models import ApiKey, ServiceAccount
from app.tenants.repository import ApiKeyRepository, ServiceAccountRepository
from app.tenants.schemas import (
    ApiKeyCreate,
    ApiKeyResponse,
    ApiKeyRotate,
    ApiKeySecret,
    ServiceAccountCreate,
    ServiceAccountResponse,
)
from app.tenants.services.roles import RoleService
from app.tenants.utils import API_KEY_PREFIX, new_token
from app.utils.helpers import token_hash, utcnow
from app.utils.schemas import Page, PageQuery


class ServiceAccountService:
    """Programs that act in the selected tenant."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.accounts = ServiceAccountRepository(ctx.session)

    async def create(self, data: ServiceAccountCreate) -> ServiceAccount:
        """Add a service account, which can do nothing until it has a key; raises `ServiceAccountNameTakenError`."""
        account = await self.accounts.add(ServiceAccount(name=data.name, created_by=self.ctx.actor_id))
        await self.ctx.emit(ServiceAccountCreated(object_id=account.id, after={"name": account.name}))
        return account

    async def page(self, query: PageQuery) -> Page[ServiceAccountResponse]:
        """Return the service accounts, oldest first."""
        return await self.accounts.page(query, self.accounts.select(), "created_at", ServiceAccountResponse)

    async def delete(self, account_id: uuid.UUID) -> None:
        """Delete a service account and its keys; raises `ServiceAccountNotFoundError`."""
        account = await self.accounts.get(account_id, locked=True)
        await self.ctx.session.delete(account)
        await self.ctx.session.flush()
        await self.ctx.emit(ServiceAccountDeleted(object_id=account_id, before={"name": account.name}))


class ApiKeyService:
    """Keys that programs sign in with."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.keys = ApiKeyRepository(ctx.session)
        self.accounts = ServiceAccountRepository(ctx.session)
        self.roles = RoleService(ctx)

    async def create(self, data: ApiKeyCreate) -> ApiKeySecret:
        """Add a key and return it with its secret.

        Raises `GrantRefusedError` for a permission that the caller lacks, and `ServiceAccountNotFoundError`. A key that
        is made with a service account's key needs a service account: there is no person that it could act as.
        """
        self.roles.refuse_beyond(data.permissions)
        account_id = data.service_account_id or (None if self.ctx.user else self.ctx.actor_id)
        if account_id is not None:
            await self.accounts.get(account_id)
        key = ApiKey(
            name=data.name,
            service_account_id=account_id,
            created_by=self.ctx.actor_id,
            permissions=sorted(set(data.permissions)),
            expires_at=utcnow() + dt.timedelta(days=data.expires_in_days),
        )
        secret = self._give_secret(key)
        await self.keys.add(key)
        after = {"name": key.name, "permissions": key.permissions, "service_account_id": account_id}
        await self.ctx.emit(ApiKeyCreated(object_id=key.id, after=after))
        return show(key, secret)

    async def page(self, query: PageQuery) -> Page[ApiKeyResponse]:
        """Return the keys without their secrets, oldest first, revoked and expired ones too."""
        return await self.keys.page(query, self.keys.select(), "created_at", ApiKeyResponse)

    async def rotate(self, key_id: uuid.UUID, data: ApiKeyRotate) -> ApiKeySecret:
        """Give a key a new secret; the old one is refused at once, or after the overlap that was asked for.

        Raises `GrantRefusedError` when the secret would lend the caller what is not theirs: a permission that they do
        not hold, or the person that somebody else's key acts as; and `ApiKeyNotFoundError`, for a revoked one too.
        """
        key = await self._usable(key_id)
        if key.service_account_id is None and key.created_by != self.ctx.actor_id:
            raise GrantRefusedError
        self.roles.refuse_beyond(key.permissions)
        overlap = dt.timedelta(seconds=data.overlap_seconds)
        key.previous_hash, key.previous_until = (key.key_hash, utcnow() + overlap) if overlap else (None, None)
        secret = self._give_secret(key)
        await self.ctx.session.flush()
        await self.ctx.emit(ApiKeyRotated(object_id=key.id, after={"overlap_seconds": data.overlap_seconds}))
        return show(key, secret)

    async def revoke(self, key_id: uuid.UUID) -> None:
        """Refuse a key from the next request on; raises `ApiKeyNotFoundError`, for a revoked one too.

        Whoever manages keys may: it takes nothing that could be used, and must not wait in an emergency.
        """
        key = await self._usable(key_id)
        key.revoked_at = utcnow()
        await self.ctx.session.flush()
        await self.ctx.emit(ApiKeyRevoked(object_id=key.id, before={"name": key.name}))

    async def _usable(self, key_id: uuid.UUID) -> ApiKey:
        """Return a key that was not revoked."""
        key = await self.keys.get(key_id, locked=True)
        if key.revoked_at is not None:
            raise self.keys.missing
        return key

    def _give_secret(self, key: ApiKey) -> str:
        """Make a key's secret, keep its hash, return it."""
        if self.ctx.tenant_id is None:
            raise TypeError("a key belongs to a tenant")
        secret = new_token(API_KEY_PREFIX, self.ctx.tenant_id)
        key.key_hash = token_hash(secret)
        return secret


def show(key: ApiKey, secret: str) -> ApiKeySecret:
    """Return a key with its secret."""
    return ApiKeySecret(**ApiKeyResponse.model_validate(key).model_dump(), key=secret)
