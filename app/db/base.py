"""The declarative base: naming convention and column types shared by every model."""

import datetime as dt
import uuid
from typing import Any, ClassVar

from sqlalchemy import DateTime, MetaData, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase

NAMES = {
    "pk": "pk_%(table_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}


class Base(DeclarativeBase):
    """Parent of every row class.

    `__bookkeeping__` marks rows that only accompany a change (audit, outbox): writing them alone is no change
    that an event must announce.
    """

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        dt.datetime: DateTime(timezone=True),
        uuid.UUID: Uuid(),
        dict[str, Any]: JSONB(none_as_null=True),
    }
    __bookkeeping__: ClassVar[bool] = False
    __mapper_args__: Any = {"eager_defaults": True}  # noqa: RUF012 - SQLAlchemy reads it as it is
    """What the database computes is fetched in the same statement."""
