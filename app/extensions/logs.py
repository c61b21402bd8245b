"""Structured logs: one JSON object a line, from our own code and from the standard library's loggers.

    log = get_logger(__name__)
    log.info("project_created", project_id=project.id)

Every line has timestamp, level, event and logger, and what was bound to the running request, job or command
(`bind`). Secrets are hidden (`redaction`), exceptions are written as data without local variables, and a log
call never raises.
"""

import logging
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, BinaryIO, Literal, TextIO, cast

import orjson
import structlog
from structlog.tracebacks import Stack, extract

from app.extensions.redaction import clean, clean_text

LONGEST_LINE = 262_144
MOST_FRAMES = 40
MOST_CAUSES = 8

_EMPTY: Mapping[str, object] = MappingProxyType({})
_bound: ContextVar[Mapping[str, object]] = ContextVar("log_values", default=_EMPTY)

# At INFO, SQLAlchemy logs the parameters of statements, and HTTP clients whole addresses: other people's
# values.
_QUIET = ("sqlalchemy", "httpx", "httpx2")
_ROUTED = ("uvicorn", "uvicorn.error", "uvicorn.asgi", "sqlalchemy", "alembic", "asyncio", "py.warnings")


Renderer = Callable[[Mapping[str, Any]], bytes]


def bind(**values: object) -> None:
    """Add values to every further line of the running request, job or command."""
    _bound.set({**_bound.get(), **values})


def clear() -> None:
    """Forget everything that was bound."""
    _bound.set(_EMPTY)


@contextmanager
def fresh(**values: object) -> Iterator[None]:
    """Log with these values only, inside the block; what was bound before returns after it."""
    token = _bound.set(values)
    try:
        yield
    finally:
        _bound.reset(token)


class Logger(structlog.BoundLoggerBase):
    """A logger whose calls never raise: what cannot be written is replaced, and a line that fails says so.

    `event` names what happened, in a few stable words; everything that varies is a value beside it.
    Positional arguments are interpolated the way the standard library does, for texts that come from there.
    """

    def debug(self, event: object, /, *args: object, **values: object) -> None:
        """Log what only a developer wants to see."""
        self.log(logging.DEBUG, event, *args, **values)

    def info(self, event: object, /, *args: object, **values: object) -> None:
        """Log what happened as it should."""
        self.log(logging.INFO, event, *args, **values)

    def warning(self, event: object, /, *args: object, **values: object) -> None:
        """Log what somebody should look at some day."""
        self.log(logging.WARNING, event, *args, **values)

    def error(self, event: object, /, *args: object, **values: object) -> None:
        """Log what failed; `exc_info` takes an exception or True."""
        self.log(logging.ERROR, event, *args, **values)

    def exception(self, event: object, /, *args: object, **values: object) -> None:
        """Log what failed, with the exception that is being handled."""
        self.log(logging.ERROR, event, *args, **{"exc_info": True, **values})

    def critical(self, event: object, /, *args: object, **values: object) -> None:
        """Log what stops the process."""
        self.log(logging.CRITICAL, event, *args, **values)

    def log(self, level: int, event: object, /, *args: object, **values: object) -> None:
        """Log at a level of the standard library."""
        if level < _output.threshold:
            return
        name = logging.getLevelName(level).lower()
        try:
            self._write(name, _interpolated(event, args), values)
        except Exception as error:  # noqa: BLE001 - the promise of this class
            # When the stream itself is gone, nowhere is left to say so.
            with suppress(Exception):
                self._write("error", "log_line_failed", {"failed": event, "error": type(error).__name__})

    def _write(self, level: str, event: str, values: dict[str, Any]) -> None:
        parts, _ = self._process_event(level, event, values)
        self._logger.msg(*parts)


def get_logger(name: str) -> Logger:
    """Return the logger of a module; it follows every later `configure`, and writes JSON before the first."""
    return Logger(Sink(name), PROCESSORS, {})


def configure(
    level: str,
    format: Literal["json", "console"],  # noqa: A002 - what the setting is called
    stream: BinaryIO | TextIO | None = None,
) -> None:
    """Route all logs to `stream` (default: standard error), from `level` on; may be called again.

    Loggers of the standard library go the same way, and uvicorn's access log is off: the request tracker
    writes a better one. Start uvicorn with `log_config=None`, or it takes its loggers back. Raises ValueError
    for an unknown level.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"log level {level!r} is none of debug, info, warning, error, critical")
    _output.threshold, _output.stream = number, stream
    _output.render = _render_json if format == "json" else _console_renderer(stream)
    # For whoever takes a logger from structlog itself.
    structlog.configure(PROCESSORS, Logger, dict, Sink, cache_logger_on_first_use=False)
    _route_standard_library(number)


def _route_standard_library(level: int) -> None:
    """Give the root logger our handler in place of plain ones, and let libraries pass everything to it."""
    logging.captureWarnings(capture=True)
    root = logging.getLogger()
    # Handlers of other kinds stay: a test's capture, somebody's exporter.
    others = [kept for kept in root.handlers if type(kept) not in (Bridge, logging.StreamHandler)]
    root.handlers[:] = [*others, Bridge()]
    root.setLevel(level)
    for name in _ROUTED:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    access = logging.getLogger("uvicorn.access")
    access.handlers.clear()
    access.propagate = False
    access.disabled = True


class Sink:
    """Writes finished lines to the stream of the day."""

    def __init__(self, name: str = "") -> None:
        self.name = name

    def msg(self, line: bytes) -> None:
        """Write one line; standard error is looked up each time, since tests replace it."""
        target = sys.stderr if _output.stream is None else _output.stream
        structlog.BytesLogger(cast("BinaryIO", getattr(target, "buffer", target))).msg(line)


class Bridge(logging.Handler):
    """Hands records of the standard library to a `Logger` of the same name."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record as a line of ours."""
        args = (record.args,) if isinstance(record.args, Mapping) else record.args or ()
        values: dict[str, object] = {"exc_info": record.exc_info} if record.exc_info else {}
        if record.stack_info:
            values["stack"] = record.stack_info.splitlines()[-MOST_FRAMES:]
        get_logger(record.name).log(record.levelno, record.msg, *args, **values)


def _interpolated(event: object, args: tuple[object, ...]) -> str:
    """Return the text of an event; arguments that do not fit it are shown beside it."""
    if not args:
        return str(event).strip()
    given = args[0] if len(args) == 1 and isinstance(args[0], Mapping) else args
    try:
        return (str(event) % given).strip()
    except (TypeError, ValueError, KeyError):
        return f"{event} {given!r}"


def _compose(logger: Sink, level: str, values: MutableMapping[str, Any]) -> dict[str, Any]:
    """Put a line together: the fixed fields, then what is bound, then the call's own values, all cleaned."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line: dict[str, Any] = {"timestamp": now, "level": level, "event": clean_text(values.pop("event"))}
    line["logger"] = clean_text(logger.name)
    problem = _raised(values.pop("exc_info", None))
    line = {**line, **clean({**_bound.get(), **values}), **line}
    if problem is not None:
        line["exception"] = _described(problem)
    return line


def _raised(given: object) -> tuple[type[BaseException], BaseException, Any] | None:
    """Return the exception that `exc_info` means: itself, the usual triple, or True for the current one."""
    if isinstance(given, BaseException):
        return type(given), given, given.__traceback__
    found = given if isinstance(given, tuple) else sys.exc_info() if given else (None, None, None)
    kind, error, trace = found
    return None if kind is None or error is None else (kind, error, trace)


def _described(problem: tuple[type[BaseException], BaseException, Any]) -> list[dict[str, Any]]:
    """Return an exception and its causes as data, the last one first; no local variables."""
    return [_stack(stack) for stack in extract(*problem, show_locals=False).stacks[:MOST_CAUSES]]


def _stack(stack: Stack) -> dict[str, Any]:
    frames = [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in stack.frames]
    if len(frames) > MOST_FRAMES:
        half = MOST_FRAMES // 2
        frames = [*frames[:half], f"[{len(frames) - 2 * half} frames more]", *frames[-half:]]
    frames = [clean_text(frame) for frame in frames]
    found: dict[str, Any] = {"type": stack.exc_type, "message": clean_text(stack.exc_value), "frames": frames}
    if stack.exc_notes:
        found["notes"] = [clean_text(note) for note in stack.exc_notes[:MOST_CAUSES]]
    if stack.exceptions:
        found["group"] = [_stack(inner.stacks[0]) for inner in stack.exceptions[:MOST_CAUSES] if inner.stacks]
    return found


def _render(_: Sink, __: str, line: MutableMapping[str, Any]) -> bytes:
    """Return the line in the form that is configured."""
    return _output.render(line)


def _render_json(line: Mapping[str, Any]) -> bytes:
    """Return the line as JSON; one that is far too long keeps only what says where it came from."""
    written = orjson.dumps(line)
    if len(written) <= LONGEST_LINE:
        return written
    kept = ("timestamp", "level", "event", "logger", "request_id", "tenant_id", "actor_id")
    short = {key: line[key] for key in kept if key in line} | {"cut": len(written)}
    for stack in line.get("exception", ())[:1]:
        short["exception"] = [{"type": stack["type"], "message": stack["message"]}]
    return orjson.dumps(short)


def _console_renderer(stream: BinaryIO | TextIO | None) -> Renderer:
    """Return the renderer for a person's terminal: a line each, stack traces below."""
    target = sys.stderr if stream is None else stream
    draw = structlog.dev.ConsoleRenderer(colors=target.isatty(), sort_keys=False)

    def render(line: Mapping[str, Any]) -> bytes:
        shown = {_escaped(key): _escaped(value) for key, value in line.items() if key != "exception"}
        rows = (row for stack in line.get("exception", ()) for row in _console_rows(stack))
        lines = [draw(None, line["level"], shown), *rows]
        return "\n".join(lines).encode("utf-8", "backslashreplace")

    return render


def _console_rows(stack: Mapping[str, Any]) -> Iterator[str]:
    """Return an exception as indented rows: what was raised, then where."""
    yield f"    {stack['type']}: {_escaped(stack['message'])}"
    yield from (f"        {_escaped(frame)}" for frame in stack["frames"])
    for inner in stack.get("group", ()):
        yield from _console_rows(inner)


def _escaped(value: Any) -> Any:
    """Return a text without control characters: neither a line nor a colour of a terminal can be forged."""
    if not isinstance(value, str) or value.isprintable():
        return value
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in value)


@dataclass(slots=True)
class Output:
    """Where lines go, in which form and from which level on: for all loggers at once."""

    threshold: int = logging.INFO
    render: Renderer = _render_json
    stream: BinaryIO | TextIO | None = None


PROCESSORS: list[structlog.typing.Processor] = [_compose, _render]
_output = Output()
