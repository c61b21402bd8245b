"""Jobs that wait for others: none runs early, none is left behind."""

import asyncio

from rq import Queue
from rq.job import Dependency, JobStatus
from rq.registry import ReadyJobRegistry

from tests.rqworker import jobs
from tests.rqworker.support import Broker, until


async def test_order_and_failures(desk: Broker, queue: Queue) -> None:
    """Dependents follow a success, or a failure they allow."""
    first = queue.enqueue(jobs.say, "a")
    middle = [queue.enqueue(jobs.say, "b", depends_on=first) for _ in range(5)]
    last = queue.enqueue(jobs.say, "c", depends_on=middle)
    bad = queue.enqueue(jobs.boom)
    allowed = queue.enqueue(jobs.say, "y", depends_on=Dependency([bad], allow_failure=True))
    refused = queue.enqueue(jobs.say, "z", depends_on=bad)
    await desk.burst()
    notes = desk.notes()
    assert notes.index("a") < notes.index("b")
    assert [note for note in notes if note != "y"][-1] == "c"
    assert last.get_status() == allowed.get_status() == JobStatus.FINISHED
    assert refused.get_status() == JobStatus.DEFERRED
    desk.clean()


async def test_parents_that_end_together_leave_no_dependent_behind(desk: Broker, queue: Queue) -> None:
    """RQ 3.0 skips a ready job when another one of its queue ends at the same moment."""
    parents = [queue.enqueue(jobs.wait, 0.2) for _ in range(8)]
    children = [queue.enqueue(jobs.add, 1, 1, depends_on=parent) for parent in parents for _ in range(8)]
    first, second = desk.worker(), desk.worker()
    tasks = [asyncio.create_task(worker.work_async()) for worker in (first, second)]
    await until(lambda: all(child.get_status() == JobStatus.FINISHED for child in children), 20)
    assert not ReadyJobRegistry(queue=queue).get_job_ids()
    await asyncio.gather(first.stop(), second.stop(), *tasks)
    desk.clean()


async def test_dependents_that_come_while_their_parent_runs(desk: Broker, queue: Queue) -> None:
    """However late one is added, it runs."""
    async with desk.working():
        parents = [queue.enqueue(jobs.wait, 0.3) for _ in range(10)]
        children = []
        while not all(parent.get_status() == JobStatus.FINISHED for parent in parents):
            for parent in parents:
                children.append(queue.enqueue(jobs.add, 1, 1, depends_on=parent))
                # The worker is on this loop too: it must have more of it than who adds.
                await asyncio.sleep(0.002)
        await until(lambda: all(child.get_status() == JobStatus.FINISHED for child in children), 20)
    assert len(children) >= 10
    desk.clean()
