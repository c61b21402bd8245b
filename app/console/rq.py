"""RQ's dashboard as a WSGI application: which of its addresses there are, and what each of them is.

It is never mounted but behind `guard.Guard`.
"""

from enum import StrEnum
from pathlib import Path
from secrets import token_urlsafe
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import rq_dashboard
from flask import Response, g
from redis import Redis
from rq_dashboard.web import config as dashboard_config
from rq_dashboard.web import setup_rq_connection
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

from app.console.hardening import Hardened, HardenedFlask, policy
from app.console.views import ShownSerializer, TaskViews, refuse

POLL_INTERVAL = 2500
"""Milliseconds after which an open page asks again."""
STATIC = Path(rq_dashboard.__file__).parent / "static"


class Kind(StrEnum):
    """What an address of the dashboard is."""

    page = "for somebody who looks"
    data = "for the script of a page, every few seconds"
    file = "a script or a style sheet"
    change = "by POST alone"
    withheld = "a change that is not offered"
    replaced = "answered by a view of ours"


ENDPOINTS = {
    "static": Kind.file,
    "rq_dashboard.static": Kind.file,
    "rq_dashboard.favicon": Kind.file,
    "rq_dashboard.queues_overview": Kind.page,
    "rq_dashboard.workers_overview": Kind.page,
    "rq_dashboard.jobs_overview": Kind.page,
    "rq_dashboard.list_queues": Kind.data,
    "rq_dashboard.list_jobs": Kind.data,
    "rq_dashboard.job_info": Kind.data,
    "rq_dashboard.compact_queue": Kind.change,
    "rq_dashboard.delete_job_view": Kind.withheld,
    "rq_dashboard.empty_queue": Kind.withheld,
    "rq_dashboard.job_view": Kind.replaced,
    "rq_dashboard.list_workers": Kind.replaced,
    "rq_dashboard.requeue_job_view": Kind.replaced,
    "rq_dashboard.requeue_all": Kind.replaced,
    "job": Kind.page,
    "workers": Kind.data,
    "requeue": Kind.change,
    "requeue_all": Kind.change,
}
"""Every endpoint of the dashboard, and those of ours that stand before some of its own."""


class Dashboard:
    """The dashboard on a broker, and what its addresses are."""

    def __init__(self, url: str) -> None:
        address, password = without_password(url)
        self.connection = Redis.from_url(url)
        self.flask = HardenedFlask("rq_dashboard", static_folder=str(STATIC))
        self.flask.config.update(
            RQ_DASHBOARD_REDIS_URL=address,
            RQ_DASHBOARD_REDIS_PASSWORD=password,
            RQ_DASHBOARD_DISABLE_DELETE=True,
            RQ_DASHBOARD_POLL_INTERVAL=POLL_INTERVAL,
            PROPAGATE_EXCEPTIONS=True,  # to the application around it, which answers with a problem
        )
        self.flask.url_map.redirect_defaults = False  # a page has several addresses, and each of them answers
        self.flask.jinja_env.add_extension(Hardened)
        self.add_views(TaskViews(self.connection, (address,), POLL_INTERVAL))
        dashboard_config.serializer = ShownSerializer
        setup_rq_connection(self.flask)
        self.flask.register_blueprint(rq_dashboard.blueprint)
        self.flask.before_request(begin_page)
        self.flask.after_request(protect)
        self.flask.register_error_handler(Exception, refuse)
        self.refuse_unknown()

    def add_views(self, views: TaskViews) -> None:
        """Add our views before the dashboard's own: of two rules alike the first one answers."""
        add = self.flask.add_url_rule
        add("/<int:instance_number>/view/job/<job_id>", "job", views.job)
        add("/<int:instance_number>/data/workers.json", "workers", views.workers)
        add("/job/<job_id>/requeue", "requeue", views.requeue, methods=["POST"])
        add("/requeue/<queue_name>", "requeue_all", views.requeue_all, methods=["POST"])

    def refuse_unknown(self) -> None:
        """Raise TypeError unless the dashboard has the endpoints of the table, no more and no fewer."""
        known = {rule.endpoint for rule in self.flask.url_map.iter_rules()}
        if strange := known ^ ENDPOINTS.keys():
            raise TypeError(f"rq-dashboard changed: look at {', '.join(sorted(strange))}, and say what it is")

    def kind(self, path: str) -> Kind | None:
        """Return what an address is, whatever the method: where something may change by it, a change."""
        adapter = self.flask.url_map.bind("localhost")
        for method in ("POST", "GET"):
            try:
                endpoint, _ = adapter.match(path, method)
            except RequestRedirect:
                return Kind.page
            except HTTPException:
                continue
            return ENDPOINTS[endpoint]
        return None

    def close(self) -> None:
        """Close the connections to the broker."""
        self.connection.close()
        self.flask.redis_conn.close()  # type: ignore[attr-defined]


def begin_page() -> None:
    """Make the nonce of a page."""
    g.nonce = token_urlsafe(16)


def protect(response: Response) -> Response:
    """Add what a browser must know of an answer of the dashboard's."""
    response.headers["Content-Security-Policy"] = policy(g.nonce)
    response.headers["Cache-Control"] = "no-store"
    return response


def without_password(url: str) -> tuple[str, str | None]:
    """Return the broker's address without its password, and the password: pages show the address."""
    parts = urlsplit(url)
    credentials, at, host = parts.netloc.rpartition("@")
    user, _, secret = credentials.partition(":")
    query = parse_qsl(parts.query)
    password = unquote(secret) or next((value for name, value in query if name == "password"), None)
    rest = urlencode([pair for pair in query if pair[0] != "password"])
    place = f"{parts.scheme}://{user + at if user else ''}{host}{parts.path}"
    return f"{place}?{rest}" if rest else place, password
