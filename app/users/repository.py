"""The queries of people."""

from app.db.repository import Repository
from app.users.exceptions import UserNotFoundError
from app.users.models import User


class UserRepository(Repository[User]):
    """People, across all tenants."""

    model = User
    missing = UserNotFoundError
