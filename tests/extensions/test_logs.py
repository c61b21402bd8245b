"""Logs: one line an event, in one form for everybody, and never an exception."""

import asyncio
import io
import logging
import sys
import warnings
from datetime import datetime
from typing import Any

import orjson
import pytest
import structlog
import uvicorn

from app.extensions import logs
from tests.extensions.support import Lines

log = logs.get_logger("app.test")


def test_fields(lines: Lines) -> None:
    """Every line has the fixed fields first, then the values."""
    log.info("project_created", project_id=7)
    line = lines.one()
    assert list(line) == ["timestamp", "level", "event", "logger", "project_id"]
    assert line["level"] == "info"
    assert line["logger"] == "app.test"
    assert datetime.fromisoformat(line["timestamp"]).utcoffset() is not None
    assert line["timestamp"].endswith("Z")


def test_levels(lines: Lines) -> None:
    """Lines below the level are not written, whoever writes them."""
    log.debug("hidden")
    logging.getLogger("other").debug("hidden")
    for name in ("info", "warning", "error", "critical"):
        getattr(log, name)("shown")
    assert [line["level"] for line in lines.all()] == ["info", "warning", "error", "critical"]


def test_unknown_level() -> None:
    """A level that does not exist is refused with its name."""
    with pytest.raises(ValueError, match="'loud'"):
        logs.configure("loud", "json")


def test_configure_again() -> None:
    """A second call replaces the first: nothing is written twice, and old loggers follow."""
    first, second = io.BytesIO(), io.BytesIO()
    logs.configure("info", "json", first)
    log.info("one")
    logs.configure("debug", "json", second)
    logs.configure("debug", "json", second)
    log.debug("two")
    logging.getLogger("uvicorn.error").info("three")
    assert [orjson.loads(line)["event"] for line in first.getvalue().splitlines()] == ["one"]
    assert [orjson.loads(line)["event"] for line in second.getvalue().splitlines()] == ["two", "three"]


def test_standard_error_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a stream, lines go to standard error: standard output belongs to what a command prints."""
    logs.configure("info", "json")
    log.info("hello")
    out, err = capsys.readouterr()
    assert out == ""
    assert orjson.loads(err)["event"] == "hello"


def test_before_configure(capsys: pytest.CaptureFixture[str]) -> None:
    """A line before the first `configure`, or through structlog itself after it, has the same form."""
    logs._output.threshold, logs._output.render, logs._output.stream = 20, logs.Output().render, None
    log.info("early", password="hunter2")
    logs.configure("info", "json")
    structlog.get_logger("other").info("direct", password="hunter2")
    early, direct = map(orjson.loads, capsys.readouterr().err.splitlines())
    assert (early["event"], early["password"]) == ("early", "[redacted]")
    assert (direct["event"], direct["password"], direct["logger"]) == ("direct", "[redacted]", "other")


def test_bound_values(lines: Lines) -> None:
    """Bound values are on every line, also of other libraries, until they are cleared."""
    logs.bind(request_id="r1")
    logs.bind(tenant_id="t1")
    log.info("one")
    logging.getLogger("sqlalchemy.pool").warning("two")
    logs.clear()
    log.info("three")
    one, two, three = lines.all()
    assert (one["request_id"], one["tenant_id"]) == (two["request_id"], two["tenant_id"]) == ("r1", "t1")
    assert "request_id" not in three


def test_fresh_values(lines: Lines) -> None:
    """A block of its own sees nothing of what was bound around it, and leaves nothing behind."""
    logs.bind(request_id="outer", tenant_id="t1")
    with logs.fresh(request_id="inner"):
        logs.bind(actor_id="a1")
        log.info("inside")
    log.info("outside")
    inside, outside = lines.all()
    assert inside["request_id"] == "inner"
    assert inside["actor_id"] == "a1"
    assert "tenant_id" not in inside
    assert outside["request_id"] == "outer"
    assert "actor_id" not in outside


async def test_concurrent_values(lines: Lines) -> None:
    """Two requests at once keep their values apart."""

    async def work(name: str) -> None:
        with logs.fresh(request_id=name):
            for _ in range(3):
                await asyncio.sleep(0)
                log.info("work", name=name)

    await asyncio.gather(*(work(f"r{number}") for number in range(10)))
    assert len(lines.all()) == 30
    assert all(line["request_id"] == line["name"] for line in lines.all())


def test_no_forged_lines(lines: Lines) -> None:
    """Line ends in texts, keys and logger names stay inside their line; fixed fields hold."""
    forged = 'x\n{"level":"critical"}\r\u2028\u2029\x85\x0b\x0c\x1c'
    log.info(forged, value=forged, nested=[{forged: forged}], **{forged: 1, "level": "z", "timestamp": "z"})
    logging.getLogger("a\nb").info("%s", forged)
    text = lines.stream.getvalue().decode()
    assert len(text.splitlines()) == 2
    assert [line["level"] for line in lines.all()] == ["info", "info"]
    assert "z" not in (lines.all()[0]["timestamp"], lines.all()[0]["level"])


def test_secrets(lines: Lines) -> None:
    """Secrets are hidden in the event, in values, in exceptions and in other libraries' lines."""
    log.info("Bearer hunter2", password="hunter2", nested={"a": [{"refresh_token": "hunter2"}]})
    logging.getLogger("x").warning("token=%s", "hunter2")
    try:
        raise ValueError("password: hunter2") from RuntimeError("postgresql://u:hunter2@h/d")
    except ValueError as error:
        error.add_note("api_key=hunter2")
        log.exception("failed", error=error)
    assert len(lines.all()) == 3
    assert b"hunter2" not in lines.stream.getvalue()


def test_exception(lines: Lines) -> None:
    """An exception is data: type, message and frames, its cause behind it, no local variables."""

    def fail() -> None:
        local = "hidden_local"
        raise KeyError(len(local))

    try:
        try:
            fail()
        except KeyError as error:
            raise ValueError("outer") from error
    except ValueError:
        log.exception("failed")
    outer, inner = lines.one()["exception"]
    assert (outer["type"], outer["message"], inner["type"], inner["message"]) == (
        "ValueError",
        "outer",
        "KeyError",
        "12",
    )
    assert inner["frames"][-1].endswith(" in fail")
    assert b"hidden_local" not in lines.stream.getvalue()


def test_exception_forms(lines: Lines) -> None:
    """`exc_info` takes an exception, a triple and True; without an exception there is none."""
    error = ValueError("x")
    log.error("one", exc_info=error)
    log.error("two", exc_info=(ValueError, error, None))
    log.exception("three")  # noqa: LOG004 - outside of a handler, on purpose
    logging.getLogger("y").error("four", exc_info=error)
    assert ["exception" in line for line in lines.all()] == [True, True, False, True]


def test_exception_group(lines: Lines) -> None:
    """The members of a group are in the line."""
    log.error("failed", exc_info=ExceptionGroup("several", [ValueError("a"), KeyError("b")]))
    (group,) = lines.one()["exception"]
    assert [member["type"] for member in group["group"]] == ["ValueError", "KeyError"]


def test_deep_recursion(lines: Lines) -> None:
    """A stack of a thousand frames is cut in the middle."""

    def down() -> None:
        down()

    try:
        down()
    except RecursionError:
        log.exception("failed")
    frames = lines.one()["exception"][0]["frames"]
    assert len(frames) == logs.MOST_FRAMES + 1
    assert any("frames more" in frame for frame in frames)


def bridge(text: str, args: tuple[object, ...]) -> None:
    """Hand a record to our handler alone: pytest's own raises for a broken one."""
    logs.Bridge().handle(logging.LogRecord("x", logging.INFO, __file__, 1, text, args, None))


class Broken:
    """An object that cannot be shown."""

    def __str__(self) -> str:
        """Raise."""
        raise RuntimeError("no")

    __repr__ = __str__


@pytest.mark.parametrize(
    "values",
    [
        {"value": Broken()},
        {"value": {Broken(): Broken()}},
        {"value": "\ud800"},
        {"\ud800": 1},
        {"value": float("nan")},
        {"value": 10**5000},
        {"value": object()},
        {"value": b"\xff"},
        {"exc_info": Broken()},
        {"exc_info": ValueError(Broken())},
        {"event": "x", "self": 1, "args": 2, "method_name": 3, "values": 4},
    ],
)
def test_values_never_raise(lines: Lines, values: dict[str, Any]) -> None:
    """A value that cannot be written does not cost the line, let alone the request."""
    log.info("event", **values)
    assert lines.one(event="event")


def test_events_never_raise(lines: Lines) -> None:
    """Texts that do not fit their arguments are shown beside them; what cannot be shown at all says so."""
    bridge("%d of %d", ("one",))
    bridge("%d", ("one",))
    bridge("%(a)s", ({"a": 1},))
    log.info(Broken())
    bridge("\ud800", ("x",))
    events = [line["event"] for line in lines.all()]
    assert events == ["%d of %d ('one',)", "%d ('one',)", "1", "log_line_failed", "\\ud800 ('x',)"]


@pytest.mark.parametrize("format_", ["json", "console"])
def test_closed_stream(format_: Any) -> None:
    """A stream that is gone stops nobody."""
    stream = io.BytesIO()
    logs.configure("info", format_, stream)
    stream.close()
    log.info("hello")
    logging.getLogger("x").error("hello")


def test_huge_line(lines: Lines) -> None:
    """A line of megabytes is cut to where it came from."""
    logs.bind(request_id="r1")
    log.error("huge", exc_info=ValueError("why"), **{f"key{n}": ["\u4e2d" * 4000] * 6 for n in range(40)})
    line = lines.one()
    assert (line["event"], line["request_id"], line["exception"][0]["message"]) == ("huge", "r1", "why")
    assert line["cut"] > logs.LONGEST_LINE
    assert len(lines.stream.getvalue()) < 1000


def test_libraries(lines: Lines) -> None:
    """Loggers of libraries lose their own handlers and end up in our form; SQL and access logs are off."""
    own = logging.StreamHandler(io.StringIO())
    logging.getLogger("uvicorn").addHandler(own)
    logging.getLogger("uvicorn").propagate = False
    logs.configure("info", "json", lines.stream)
    for name in ("uvicorn", "uvicorn.error", "alembic.runtime.migration", "asyncio", "sqlalchemy.pool"):
        logging.getLogger(name).warning("hello")
    logging.getLogger("sqlalchemy.engine.Engine").info("SELECT secret FROM users")
    logging.getLogger("uvicorn.access").info("GET /")
    assert [line["logger"] for line in lines.all()] == [
        "uvicorn", "uvicorn.error", "alembic.runtime.migration", "asyncio", "sqlalchemy.pool",
    ]  # fmt: skip
    assert own.stream.getvalue() == ""
    assert not logging.getLogger("uvicorn.access").hasHandlers()


def test_uvicorn_leaves_loggers_alone(lines: Lines) -> None:
    """With `log_config=None` uvicorn's own set-up changes nothing."""
    uvicorn.Config("x:y", log_config=None)
    logging.getLogger("uvicorn.error").info("hello")
    assert lines.one()["logger"] == "uvicorn.error"


def test_other_handlers_stay() -> None:
    """A handler of another kind on the root logger is not ours to remove."""

    class Exporter(logging.Handler):
        """Stands for somebody's exporter."""

    exporter, plain = Exporter(), logging.StreamHandler(sys.stderr)
    logging.getLogger().addHandler(exporter)
    logging.getLogger().addHandler(plain)
    logs.configure("info", "json", io.BytesIO())
    assert exporter in logging.getLogger().handlers
    assert plain not in logging.getLogger().handlers


def test_warnings(lines: Lines) -> None:
    """Python's warnings are lines too."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logs.configure("info", "json", lines.stream)
        warnings.warn("careful", UserWarning, stacklevel=1)
    assert "careful" in lines.one(logger="py.warnings")["event"]


async def test_lost_tasks(lines: Lines) -> None:
    """What asyncio says about a task that nobody awaited has its stack."""
    context = {"message": "Task exception was never retrieved", "exception": ValueError("x")}
    asyncio.get_running_loop().default_exception_handler(context)
    assert lines.one(logger="asyncio")["exception"][0]["type"] == "ValueError"


def test_console() -> None:
    """The form for people: a line each, the stack below, no control characters of others."""
    stream = io.BytesIO()
    logs.configure("info", "console", stream)
    log.info("hello\nworld \x1b[31m", value="a\nb", password="hunter2", **{"k\ney": "\ud800"})
    try:
        raise ValueError("bad\nline")
    except ValueError as error:
        log.exception("failed", group=ExceptionGroup("g", [error]))
    text = stream.getvalue().decode()
    first, second, third, *frames = text.splitlines()
    assert "hello\\nworld \\x1b[31m" in first
    assert "[error" in second
    assert third == "    ValueError: bad\\nline"
    assert len(frames) == 1
    assert "hunter2" not in text
    assert "\x1b" not in text


def test_stack_info(lines: Lines) -> None:
    """A record that carries the stack of its call keeps it."""
    logging.getLogger("x").info("here", stack_info=True)
    assert "test_stack_info" in str(lines.one()["stack"])


def test_no_stack_is_printed_elsewhere(lines: Lines, capsys: pytest.CaptureFixture[str]) -> None:
    """The standard library prints nothing of its own when a record is broken."""
    bridge("%d", (Broken(),))
    assert capsys.readouterr().err == ""
    assert lines.one()["event"] == "log_line_failed"
