"""What a worker can carry out: the literal list of tasks, and the handlers that `app.hub` names."""

from typing import Any

from app.auth.tasks import send_reset, send_verification
from app.config import Settings
from app.core.runner import Name, Runnable, Runner, registry
from app.core.tasks import Task
from app.core.unit_of_work import UnitOfWork
from app.hub import MessageHub
from app.modules.notifications.tasks import send_news

TASKS: list[Task[Any]] = [send_reset, send_verification, send_news]


def runnables() -> dict[Name, Runnable]:
    """Return everything that an entry of the outbox can name; raises TypeError for a name that stands for two."""
    named: list[tuple[Name, Runnable]] = [((task.name, None), task) for task in TASKS]
    return registry([*MessageHub.deliveries().items(), *named])


def create_runner(work: UnitOfWork, config: Settings) -> Runner:
    """Return what carries entries out; raises TypeError for a task that asks for a queue that nobody serves."""
    for task in TASKS:
        if task.options.queue not in config.tasks.queues:
            raise TypeError(f"{task.name} asks for queue {task.options.queue}: tasks.queues has none of it")
    return Runner(work, runnables(), config.tasks)
