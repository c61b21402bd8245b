"""HTTP of generic resources."""

import uuid
from typing import Annotated

from fastapi import Path, Query, Request, Response
from pydantic import Field

from app.auth.permissions import access_control
from app.core.dead_letters import DeadLetterService
from app.core.mock import MockService
from app.core.openapi import MOCKED, document
from app.core.rights import DeadLetterPermission, TaskPermission, may_see_event, may_see_task
from app.core.routing import Router, cbv
from app.core.schemas import DeadLetterDetail, DeadLetterQuery, DeadLetterResponse, EventResponse, TaskResponse
from app.core.services import HealthService, TaskService
from app.utils.schemas import DefaultResponse, Page, Unset

router = Router(prefix="/core", tags=["core"])
mock = Router(prefix="/core/mock", tags=["core"])
"""Served outside production alone."""


@router.get("/health/live")
@access_control(open=True)
async def live() -> DefaultResponse:
    """Tell that the process answers; asks nothing else."""
    return DefaultResponse(msg="alive")


@cbv(router)
class HealthRoutes:
    """Whether requests should be sent here."""

    health: HealthService

    @router.get("/health/ready")
    @access_control(open=True)
    async def ready(self, request: Request) -> DefaultResponse:
        """Tell that the database answers; 503 when it does not, or when this process is about to stop."""
        request.app.state.leaving.check()
        await self.health.check()
        return DefaultResponse(msg="ready")


@cbv(router)
class TaskRoutes:
    """How work stands that comes after a commit."""

    tasks: TaskService

    @router.get("/tasks/{task_id}")
    @access_control(TaskPermission.read, check=may_see_task)
    async def task(self, task_id: uuid.UUID) -> TaskResponse:
        """Show a task of one's own; with `tasks.manage`, anybody's."""
        return await self.tasks.get(task_id)

    @router.get("/events/{event_id}")
    @access_control(TaskPermission.read, check=may_see_event)
    async def event(self, event_id: uuid.UUID) -> EventResponse:
        """Show who hears of an event, by the id of its audit row."""
        return await self.tasks.deliveries(event_id)


@cbv(router)
class DeadLetterRoutes:
    """What failed for good in the selected tenant."""

    letters: DeadLetterService

    @router.get("/dead-letters")
    @access_control(DeadLetterPermission.read)
    async def list(self, query: Annotated[DeadLetterQuery, Query()]) -> Page[DeadLetterResponse]:
        """List dead letters, newest first."""
        return await self.letters.list(query)

    @router.get("/dead-letters/{letter_id}")
    @access_control(DeadLetterPermission.read)
    async def get(self, letter_id: uuid.UUID) -> DeadLetterDetail:
        """Show one with what it was to work on."""
        return await self.letters.get(letter_id)

    @router.post("/dead-letters/{letter_id}/requeue")
    @access_control(DeadLetterPermission.manage)
    async def requeue(self, letter_id: uuid.UUID) -> DefaultResponse:
        """Have it tried again, with all its attempts."""
        await self.letters.requeue(letter_id)
        return DefaultResponse(msg="It will be tried again.")

    @router.post("/dead-letters/{letter_id}/discard")
    @access_control(DeadLetterPermission.manage)
    async def discard(self, letter_id: uuid.UUID) -> DefaultResponse:
        """Give it up; tasks that waited for it become dead letters."""
        await self.letters.discard(letter_id)
        return DefaultResponse(msg="It was discarded.")


Status = Annotated[int, Field(ge=200, le=599)]


@cbv(mock)
class MockRoutes:
    """Answers before there is a module that gives them."""

    @mock.get("/{operation_id}", responses=MOCKED)
    @access_control(authenticated=True)
    async def answer(
        self,
        request: Request,
        operation_id: Annotated[str, Path(max_length=200, examples=["project_list"])],
        status: Annotated[Status | Unset, Query(description="which of its answers; a success unless given")] = None,
    ) -> Response:
        """Answer what an operation might, by its `operationId`: an example, the same each time."""
        return MockService(document(request.app)).answer(operation_id, status)
