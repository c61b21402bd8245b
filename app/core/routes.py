"""HTTP of generic resources."""

from app.auth.permissions import access_control
from app.core.routing import Router, cbv
from app.core.services import HealthService
from app.utils.schemas import DefaultResponse

router = Router(prefix="/core", tags=["core"])


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
    async def ready(self) -> DefaultResponse:
        """Tell that the database answers; 503 when it does not."""
        await self.health.check()
        return DefaultResponse(msg="ready")
