"""The console as it is mounted: the sign-in, the start page, and the dashboard where there is a broker."""

from fastapi import FastAPI
from starlette.routing import BaseRoute, Mount, Route, Router

from app.config import Settings
from app.console.door import DASHBOARD, PLACE, Door
from app.console.guard import Guard
from app.console.pages import Pages, leading
from app.console.rq import Dashboard
from app.core.unit_of_work import UnitOfWork
from app.extensions import docs

PATHS = frozenset({PLACE})


class Console:
    """The pages for superusers. In production its cookies are for https alone."""

    def __init__(self, config: Settings, work: UnitOfWork) -> None:
        door = Door(work, secure=config.env == "production")
        self.guard = Guard(door, Dashboard(config.broker.url)) if config.broker.url else None
        links = {"Queues, tasks and workers": f"{DASHBOARD}/"} if self.guard else {}
        if config.server.docs:
            links["API documentation"] = docs.PAGE
        pages = Pages(door, links)
        self.routes: list[BaseRoute] = [
            Route("/", pages.start),
            Route("/login", pages.sign_in),
            Route("/login", pages.login, methods=["POST"]),
            Route("/logout", pages.logout, methods=["POST"]),
        ]
        if self.guard:
            self.routes += [Route("/rq", leading(f"{DASHBOARD}/")), Mount("/rq", app=self.guard)]

    def install(self, app: FastAPI) -> None:
        """Serve the console."""
        app.add_route(PLACE, leading(f"{PLACE}/"), include_in_schema=False)
        app.mount(PLACE, Router(self.routes, redirect_slashes=False))

    def close(self) -> None:
        """Let go of what is open; for the end of the process."""
        if self.guard:
            self.guard.close()
