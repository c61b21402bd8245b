"""Routes that declare their access, enforced before the body is parsed; and class-based views."""

import asyncio
import inspect
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Annotated, Any, Generic, Protocol, TypeVar, get_args, get_origin, get_type_hints

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.datastructures import Default, DefaultPlaceholder
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import TypeAdapter, ValidationError

from app.core.answers import check_answer
from app.core.context import Context
from app.core.exceptions import IdempotencyRefusedError, TransactionConflictError
from app.core.idempotency import KeyedRequest, carries_secret, read_key
from app.core.limits import Claimant, RateLimits
from app.core.openapi import document_access, document_key, document_stream, operation_id
from app.core.permissions import Access, declared_access
from app.core.streams import BodyStream
from app.exceptions import AppError, ForbiddenError, UnavailableError
from app.utils.schemas import JSONResponse

View = TypeVar("View")
Claim = TypeVar("Claim", bound=Claimant)

CHANCE = random.SystemRandom()
JITTER = 0.05
"""Seconds, times the attempts so far, within which a lost race is run again; no connection is held meanwhile."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110, 9.2.1): their unit of work is read-only."""


class Gate(Protocol, Generic[Claim]):
    """Decides who may pass; `app.auth` answers."""

    def identify(self, request: Request, access: Access) -> Claim:
        """Return what the headers claim, verified without the database; raise 401 or 400."""

    def enter(
        self, request: Request, access: Access, claim: Claim, *, read_only: bool
    ) -> AbstractAsyncContextManager[Context]:
        """Begin a unit of work, raise 401, 403 or 404, yield the Context; commit when the block ends well."""


@dataclass(frozen=True, slots=True)
class Serving:
    """What routes need of the application that serves them; `app.state.serving`."""

    gate: Gate[Any]
    limits: RateLimits
    validate_answers: bool = False


class AccessRoute(APIRoute):
    """A route that knows its access, and answers inside one unit of work.

    In order: the sign-in is verified (401), the call is counted (429), the body is read while no connection is held
    (413, 408), the unit of work begins and the gate decides (401, 403, 404), FastAPI parses (422), the view runs, the
    work is committed, and only then does the first byte of the answer leave. A lost race for the same rows runs the
    view again. A POST with an Idempotency-Key that was answered before gets that answer once the gate and the check
    have let it in.

    An operation that declares `Streamed` takes its body piece by piece, which may last. The gate decides in a unit of
    work that ends before the first piece is read; the view runs outside of it, once, and what it writes goes by
    `ctx.separate()`. It takes no key: what would be compared is never there as a whole.
    """

    access: Access
    attempts = 5

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        self.access = declared_access(endpoint)
        declared = declared_answer(endpoint)
        if declared is not None and isinstance(options.get("response_model", Default(None)), DefaultPlaceholder):
            options["response_model"] = declared
        self.secret = any(map(carries_secret, answer_models(endpoint, options)))
        self.streams = BodyStream in get_type_hints(endpoint).values()
        options = document_access(self.access, options)
        if self.streams:
            options = document_stream(options)
        elif "POST" in (options.get("methods") or ()) and not self.secret:
            options = document_key(options)
        super().__init__(path, endpoint, **options)
        self.checked = checked_parameters(self, self.access)
        # An open operation that asks for no Context (liveness, say) opens no unit of work.
        self.needs_work = not self.access.open or asks_for_context(self.dependant)

    def get_route_handler(self) -> Callable[[Request], Any]:
        """Return the handler that puts access, unit of work and answer in order."""
        answer = super().get_route_handler()

        async def handle(request: Request) -> Response:
            serving: Serving = request.app.state.serving
            claim = request.state.caller = serving.gate.identify(request, self.access)
            await serving.limits.take_call(claim)
            request.state.key = self.key_of(request)
            if self.streams:
                return await self.stream(request, answer, serving, claim)
            await request.body()
            if not (self.needs_work or request.state.key):
                return await self.answered(request, answer, serving)
            try:
                return await self.persist(request, answer, serving, claim)
            except AppError as error:
                twin = await self.twin(request, serving, claim, error)
                if twin is None:
                    raise
                return twin

        return handle

    def key_of(self, request: Request) -> str | None:
        """Return the request's Idempotency-Key; raise `IdempotencyRefusedError` where none is taken."""
        key = read_key(request) if request.method == "POST" else None
        if key is not None and self.secret:
            raise IdempotencyRefusedError
        if key is not None and self.streams:
            raise IdempotencyRefusedError("The body of this operation is not kept: send it without an Idempotency-Key.")
        return key

    async def stream(
        self, request: Request, answer: Callable[[Request], Any], serving: Serving, claim: Any
    ) -> Response:
        """Let the gate and the check decide in a unit of work, then answer outside of it."""
        async with serving.gate.enter(request, self.access, claim, read_only=True) as context:
            request.scope["context"] = request.state.caller = context
            await serving.limits.let_in(claim)
            await self.check_object(request, context)
        return await self.answered(request, answer, serving)

    async def twin(self, request: Request, serving: Serving, claim: Any, error: AppError) -> Response | None:
        """Return the stored answer to an open operation that was refused: it may have lost against its own twin.

        Elsewhere a lock keeps twins apart; nobody holds one who has no connection.
        """
        if not (request.state.key and self.access.open) or error.status >= UnavailableError.status:
            return None
        async with serving.gate.enter(request, self.access, claim, read_only=True) as context:
            return await self.stored(request, KeyedRequest(context, request, request.state.key, await request.body()))

    async def persist(
        self, request: Request, answer: Callable[[Request], Any], serving: Serving, claim: Any
    ) -> Response:
        """Answer inside a unit of work; after a lost race once more, `attempts` times in all."""
        for attempt in range(1, self.attempts):
            try:
                return await self.work(request, answer, serving, claim)
            except TransactionConflictError:
                # Rivals that begin again together meet again.
                await asyncio.sleep(CHANCE.uniform(0, JITTER * attempt))
        return await self.work(request, answer, serving, claim)

    async def work(self, request: Request, answer: Callable[[Request], Any], serving: Serving, claim: Any) -> Response:
        """Answer inside a unit of work of its own, which is committed when this returns."""
        read_only = request.method in SAFE_METHODS
        async with serving.gate.enter(request, self.access, claim, read_only=read_only) as context:
            request.scope["context"] = request.state.caller = context
            await serving.limits.let_in(claim)
            await self.check_object(request, context)
            if not request.state.key:
                return await self.answered(request, answer, serving)
            keyed = KeyedRequest(context, request, request.state.key, await request.body())
            response = await self.stored(request, keyed)
            if response is None:
                response = await self.answered(request, answer, serving)
                await keyed.keep(response)
            return response

    async def stored(self, request: Request, keyed: KeyedRequest) -> Response | None:
        """Return the stored answer, if there is one, and note for the log that it was sent again."""
        response = await keyed.answer()
        if response is not None:
            request.state.replayed = True
        return response

    async def check_object(self, request: Request, context: Context) -> None:
        """Ask the declared predicate about the object that the path names; 403 when it says no."""
        if self.access.check is None:
            return
        if not await self.access.check(context, **read_parameters(self.checked, request.path_params)):
            raise ForbiddenError

    async def answered(self, request: Request, answer: Callable[[Request], Any], serving: Serving) -> Response:
        """Return the answer; in the validating mode, only if it is what the operation declares."""
        response: Response = await answer(request)
        if serving.validate_answers:
            check_answer(self, response)
        if self.secret:
            response.headers["Cache-Control"] = "no-store"
        return response


def declared_answer(endpoint: Callable[..., Any]) -> Any | None:
    """Return `T` for an operation annotated with `JSONResponse[T]`, else None."""
    annotation = get_type_hints(endpoint, include_extras=True).get("return")
    return get_args(annotation)[0] if get_origin(annotation) is JSONResponse else None


def answer_models(endpoint: Callable[..., Any], options: dict[str, Any]) -> Iterator[Any]:
    """Yield the type of each answer that an operation declares."""
    model = options.get("response_model", Default(None))
    yield get_type_hints(endpoint).get("return") if isinstance(model, DefaultPlaceholder) else model
    yield from (one.get("model") for one in (options.get("responses") or {}).values())


def checked_parameters(route: APIRoute, access: Access) -> dict[str, TypeAdapter[Any]]:
    """Return how to read the path's parameters that the predicate wants; TypeError for one the path does not have."""
    if access.check is None:
        return {}
    hints = get_type_hints(access.check, include_extras=True)
    wanted = list(inspect.signature(access.check).parameters)[1:]
    unknown = set(wanted) - route.param_convertors.keys()
    if unknown:
        raise TypeError(f"{route.path}: check wants {', '.join(sorted(unknown))}, which the path does not name")
    untyped = set(wanted) - hints.keys()
    if untyped:
        raise TypeError(f"{route.path}: check wants {', '.join(sorted(untyped))}, and does not say of which type")
    return {name: TypeAdapter(hints[name]) for name in wanted}


def read_parameters(readers: dict[str, TypeAdapter[Any]], given: dict[str, Any]) -> dict[str, Any]:
    """Return the path's parameters in their types; a malformed one is the same 422 that FastAPI would raise."""
    found = {}
    for name, reader in readers.items():
        try:
            found[name] = reader.validate_python(given[name])
        except ValidationError as error:
            faults = [{**fault, "loc": ("path", name)} for fault in error.errors(include_url=False)]
            raise RequestValidationError(faults) from error
    return found


def asks_for_context(dependant: Dependant) -> bool:
    """Tell whether the Context is among what an operation depends on, at any depth."""
    return dependant.call is current_context or any(map(asks_for_context, dependant.dependencies))


async def current_context(request: Request) -> Context:
    """Return the Context that the route opened."""
    context: Context = request.scope["context"]
    return context


CurrentContext = Annotated[Context, Depends(current_context)]


class Router(APIRouter):
    """An APIRouter whose operations declare their access; methods wait for the `cbv` of their class.

    `module` names the module that a tenant must have switched on for any of these operations.
    """

    def __init__(self, *, module: str | None = None, **options: Any) -> None:
        super().__init__(route_class=AccessRoute, generate_unique_id_function=operation_id, **options)
        self.module = module
        self.waiting: list[tuple[str, Callable[..., Any], dict[str, Any]]] = []

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        """Add a function now; keep a method until its class is known."""
        access = declared_access(endpoint)
        if self.module and access.resource and not access.module:
            endpoint.__access__ = replace(access, module=self.module)  # type: ignore[attr-defined]
        first = next(iter(inspect.signature(endpoint).parameters), None)
        if first == "self" and "self" not in endpoint.__annotations__:
            self.waiting.append((path, endpoint, options))
        else:
            super().add_api_route(path, endpoint, **options)


def cbv(router: Router) -> Callable[[type[View]], type[View]]:
    """Make a class a view: its attributes are the Context or services built with it, its methods are operations.

    Raises TypeError for an attribute that is neither, or for a method that another class left waiting.
    """

    def bind(cls: type[View]) -> type[View]:
        view = dataclass(cls)
        parts = get_type_hints(view)
        for name, kind in parts.items():
            if not fits_view(kind):
                raise TypeError(f"{cls.__name__}.{name}: {kind!r} is neither Context nor built with one (ctx)")
        waiting, router.waiting = router.waiting, []
        for path, method, options in waiting:
            if not method.__qualname__.startswith(f"{cls.__qualname__}."):
                raise TypeError(f"{method.__qualname__} is a method of a class without @cbv(router)")
            method.__annotations__["self"] = Annotated[view, Depends(builder(view, parts))]
            router.add_api_route(path, method, **options)
        return view

    return bind


def fits_view(kind: Any) -> bool:
    """Tell whether a view can hold it: the Context, or a class that is built with one."""
    try:
        return kind is Context or (isinstance(kind, type) and "ctx" in inspect.signature(kind).parameters)
    except ValueError:  # the interpreter's own classes show no signature
        return False


def builder(view: Callable[..., Any], parts: dict[str, Any]) -> Callable[..., Any]:
    """Return the dependency that builds a view for one request; a view without parts asks for no Context."""

    async def build(context: CurrentContext) -> Any:
        return view(**{name: context if kind is Context else kind(context) for name, kind in parts.items()})

    async def build_bare() -> Any:
        return view()

    return build if parts else build_bare


def check_routes(app: FastAPI, *, beside: frozenset[str] = frozenset()) -> None:
    """Raise TypeError for an operation that came in past `Router`, or a method whose class lacks `cbv`.

    `beside` names the paths of the document and its pages, which FastAPI adds itself.
    """
    for entry in iter_route_contexts(app.routes):
        if not isinstance(entry.original_route, AccessRoute) and entry.path not in beside:
            raise TypeError(f"{entry.path or entry.original_route} was not added by app.core.routing.Router")


def operations(app: FastAPI) -> Iterator[tuple[str, str, AccessRoute]]:
    """Yield method, path and route of every operation, in the order of the document."""
    for entry in iter_route_contexts(app.routes):
        if isinstance(entry.original_route, AccessRoute):
            for method in sorted(entry.methods or ()):
                yield method, entry.path or "", entry.original_route


def check_routers(*routers: Router) -> None:
    """Raise TypeError for a router whose methods still wait for a class."""
    for router in routers:
        for _, method, _ in router.waiting:
            raise TypeError(f"{method.__module__}.{method.__qualname__} waits: decorate its class with @cbv(router)")
