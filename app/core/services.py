"""Generic resources: health."""

from sqlalchemy import text

from app.core.context import Context


class HealthService:
    """Tell whether the application can do its work."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx

    async def check(self) -> None:
        """Ask the database for an answer; raises `UnavailableError` when it has none."""
        await self.ctx.session.execute(text("select 1"), execution_options={"unscoped": "asks for no row"})
