"""What a worker can carry out: the literal list of tasks, when the periodic ones run, and the hub's handlers."""

import datetime as dt
from typing import Any

from app.auth.tasks import purge_sign_ins, send_reset, send_verification
from app.config import Settings
from app.core.runner import Name, Runnable, Runner, registry
from app.core.schedule import Line, check_schedule, cron, every
from app.core.tasks import Task
from app.core.unit_of_work import UnitOfWork
from app.hub import MessageHub
from app.mails import MAILS
from app.models import check_models
from app.modules.billing.tasks import bill_tenants, collect_invoice, renew_subscription
from app.modules.notifications.tasks import send_news
from app.modules.projects.tasks import export_projects
from app.services.mailer.letters import check_letters
from app.tenants.tasks import purge_tenants, sweep_files

TASKS: list[Task[Any]] = [
    send_reset,
    send_verification,
    send_news,
    export_projects,
    sweep_files,
    purge_tenants,
    purge_sign_ins,
    renew_subscription,
    collect_invoice,
    bill_tenants,
]

SCHEDULE: list[Line] = [
    every(dt.timedelta(hours=1), sweep_files),
    every(dt.timedelta(hours=1), bill_tenants),
    cron("10 3 * * *", purge_tenants),
    cron("40 3 * * *", purge_sign_ins),
]
"""Times are UTC."""


def runnables() -> dict[Name, Runnable]:
    """Return everything that an entry of the outbox can name; raises TypeError for a name that stands for two."""
    named: list[tuple[Name, Runnable]] = [((task.name, None), task) for task in TASKS]
    return registry([*MessageHub.deliveries().items(), *named])


def check(config: Settings) -> None:
    """Raise TypeError for a table that cannot work: run at every start, of the API, too.

    A model, an event or a mail without a line, a handler of a wrong signature, a queue that nobody serves, a schedule
    of what is no task.
    """
    check_models()
    MessageHub.check(config.tasks.queues)
    check_letters(MAILS.values())
    for task in TASKS:
        if task.options.queue not in config.tasks.queues:
            raise TypeError(f"{task.name} asks for queue {task.options.queue}: tasks.queues has none of it")
    check_schedule(SCHEDULE, TASKS)


def create_runner(work: UnitOfWork, config: Settings) -> Runner:
    """Return what carries entries out; `check` has seen the tables."""
    return Runner(work, runnables(), config.tasks)
