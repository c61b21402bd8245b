"""Shapes of SELECT in which a row of another tenant could hide; each finds some when nothing narrows it."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    Executable,
    String,
    and_,
    any_,
    case,
    cast,
    column,
    except_,
    exists,
    extract,
    func,
    lambda_stmt,
    lateral,
    literal,
    or_,
    select,
    tablesample,
    true,
    tuple_,
    union,
    union_all,
    values,
)
from sqlalchemy.orm import Bundle, aliased, joinedload, outerjoin, selectinload, subqueryload

from app.modules.notifications.models import Notification
from app.modules.projects.models import Project
from app.tenants.models import Membership, Tenant
from app.users.models import User

Other = aliased(Project)
theirs = Project.description == "of b"


def recursive() -> Executable:
    """Return a recursive CTE over two reads of one class."""
    start = select(Project.id, literal(1).label("step")).cte("walk", recursive=True)
    return select(start.union_all(select(Other.id, start.c.step + 1).where(start.c.step < 2)).c.id)


def correlated() -> Executable:
    """Return a lateral subquery over the outer row."""
    inner = select(func.count(Project.id).label("total")).where(Project.created_by == User.id).lateral()
    return select(User.id, inner.c.total).join(inner, true())


PLAIN: dict[str, Callable[[], Executable]] = {
    "class": lambda: select(Project),
    "columns": lambda: select(Project.id, Project.description),
    "label": lambda: select(Project.description.label("x")),
    "bundle": lambda: select(Bundle("b", Project.id, Project.description)),
    "distinct": lambda: select(Project.description).distinct(),
    "count": lambda: select(func.count()).select_from(Project),
    "count of a column": lambda: select(func.count(Project.id)),
    "aggregate": lambda: select(func.max(Project.description)),
    "window": lambda: select(User.id, func.count(Project.id).over()),
    "aggregate's filter": lambda: select(func.count().filter(theirs), User.id).group_by(User.id),
    "case": lambda: select(User.id, case((theirs, "theirs"), else_="ours")),
    "cast": lambda: select(cast(Project.id, String)),
    "extract": lambda: select(Project.id, extract("year", Project.created_at)),
    "group": lambda: select(Project.name, func.count()).group_by(Project.name),
    "having": lambda: select(Project.name).group_by(Project.name).having(func.count() > 1),
    "order and limit": lambda: select(Project.description).order_by(Project.description.desc()).limit(1),
    "lock": lambda: select(Project).with_for_update(),
    "root": lambda: select(Tenant),
    "lambda": lambda: lambda_stmt(lambda: select(Project)),
    "sample": lambda: select(aliased(Project, tablesample(Project, func.bernoulli(100)))),
}

JOINS: dict[str, Callable[[], Executable]] = {
    "alias": lambda: select(Other),
    "count of an alias": lambda: select(func.count()).select_from(Other),
    "two classes": lambda: select(Project, Notification),
    "self join": lambda: select(Project.id, Other.id).join(Other, Other.name == Project.name),
    "implied self join": lambda: select(Project.id, Other.id).where(Other.name == Project.name),
    "named in where() only": lambda: select(User.id).where(theirs),
    "an alias in where() only": lambda: select(User.id).where(Other.description == "of b"),
    "either in where()": lambda: select(User.id).where(or_(theirs, Notification.title == "b one")),
    "a tuple in where()": lambda: select(User.id).where(
        tuple_(Project.name, Project.description).in_([("one", "of b")])
    ),
    "join": lambda: select(User.id, Project.id).join(Project, Project.created_by == User.id),
    "join of three": lambda: (
        select(User.id, Project.id)
        .join(Membership, Membership.user_id == User.id)
        .join(Project, Project.created_by == Membership.user_id)
    ),
    "join by a relation": lambda: select(Membership.id, User.id).join(Membership.user),
    "join by a relation and more": lambda: (
        select(User.id).select_from(Membership).join(Membership.user.and_(exists().where(theirs)))
    ),
    "has()": lambda: select(Membership.id).where(Membership.user.has(User.email != "")),
    "outer join": lambda: select(User.id, Membership.tenant_id).outerjoin(Membership, Membership.user_id == User.id),
    "outer join from the left": lambda: select(User.id, Membership.tenant_id).select_from(
        outerjoin(Membership, User, Membership.user_id == User.id)
    ),
    "join to a subquery": lambda: select(User.id, (part := select(Project).subquery()).c.id).join(part, true()),
    "values": lambda: select(Project.id).join(
        given := values(column("name", String), name="given").data([("one",)]), given.c.name == Project.name
    ),
    "joinedload": lambda: select(Membership).options(joinedload(Membership.user)),
    "selectinload": lambda: select(Membership).options(selectinload(Membership.user)),
    "subqueryload": lambda: select(Membership).options(subqueryload(Membership.user)),
}

NESTED: dict[str, Callable[[], Executable]] = {
    "exists()": lambda: select(User.id).where(exists().where(Project.created_by == User.id, theirs)),
    "not exists()": lambda: select(User.id).where(~exists().where(theirs)),
    "select of exists": lambda: select(select(Project.id).where(theirs).exists()),
    "exists in exists": lambda: select(User.id).where(
        exists().where(Membership.user_id == User.id, exists().where(Project.created_by == User.id, theirs))
    ),
    "uncorrelated": lambda: select(Project.id, select(func.count(Project.id)).scalar_subquery()),
    "IN a subquery": lambda: select(User.id).where(literal("of b").in_(select(Project.description))),
    "IN a union": lambda: select(User.id).where(
        literal("of b").in_(union(select(Project.description), select(Notification.title)))
    ),
    "ANY of a subquery": lambda: select(User.id).where(
        literal("of b") == any_(select(Project.description).scalar_subquery())
    ),
    "scalar": lambda: select(User.id, select(func.count(Project.id)).scalar_subquery()),
    "a scalar in the outer row": lambda: select(
        Project.id, select(func.count(Other.id)).where(Other.name == Project.name).scalar_subquery()
    ),
    "subquery": lambda: select(select(Project.id).subquery().c.id),
    "a class over a subquery": lambda: select(aliased(Project, select(Project).subquery())),
    "subqueries in a row": lambda: select(select(select(Project.id).subquery().c.id).subquery().c.id),
    "lateral": correlated,
    "lateral()": lambda: select(User.id, lateral(select(Project.id).where(Project.created_by == User.id)).c.id),
    "CTE": lambda: select(select(Project.id).cte().c.id),
    "a class over a CTE": lambda: select(aliased(Project, select(Project).cte())),
    "nested CTE": lambda: select(select(select(Project.id).cte("inner", nesting=True)).cte("outer").c.id),
    "recursive CTE": recursive,
    "union": lambda: union_all(select(Project.id), select(Other.id)),
    "union's second part": lambda: union(select(User.id), select(Notification.id)),
    "except": lambda: except_(select(Project.id), select(User.id)),
    "union in a subquery": lambda: select(union_all(select(Project.id), select(Notification.id)).subquery().c.id),
    "from_statement": lambda: select(Project).from_statement(select(Project)),
    "from_statement of a union": lambda: select(Project).from_statement(union_all(select(Project), select(Project))),
    "from another tenant on purpose": lambda: select(Project.id).where(
        and_(Project.tenant_id.in_(select(Tenant.id)), Project.name == "one")
    ),
}

SHAPES: dict[str, Any] = PLAIN | JOINS | NESTED
