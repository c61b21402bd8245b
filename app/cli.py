"""The `app` command: a literal table, whose commands are loaded when called, so that `app --help` is quick."""

import gc
import importlib
import sys
from collections.abc import Sequence
from types import ModuleType

COMMANDS = {
    "dev": ("app.commands.dev", "Start everything on a bare machine: database, demo data, API."),
    "serve": ("app.commands.serve", "Serve the API."),
    "worker": ("app.commands.worker", "Carry out deliveries and tasks."),
    "relay": ("app.commands.relay", "Hand what is due in the outbox to the workers."),
    "migrate": ("app.commands.migrate", "Bring the database's schema up to date, or print how."),
    "permissions": ("app.commands.permissions", "Print which operation asks what, and which role holds it."),
    "openapi": ("app.commands.openapi", "Print the OpenAPI document."),
    "create-superuser": ("app.commands.superuser", "Create a superuser, or make one of a known person."),
    "purge": ("app.commands.purge", "Remove for good what was deleted long enough ago."),
    "audit": ("app.commands.audit", "Verify that the audit is whole: app audit verify."),
    "events": ("app.commands.events", "Print which event moves what."),
    "tasks": ("app.commands.tasks", "See which tasks there are, and run one by hand."),
    "dead-letters": ("app.commands.dead_letters", "See and settle what failed for good, in all tenants."),
    "mail": ("app.commands.mail", "See which mails there are, and how they look."),
    "scheduler": ("app.commands.scheduler", "Enqueue periodic tasks when they are due."),
    "new": ("app.commands.new", "Begin a module or a project: app new module, app new project."),
    "remove": ("app.commands.remove", "Take a module out: app remove module."),
    "check": ("app.commands.check", "Check the configuration and the facts of the database."),
}
"""Command -> the module whose `run` it is, and what it does."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; without a name, or with --help, print the table. Exits with 2 for an unknown name."""
    name, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in {"--help", "-h", "help"}:
        sys.stdout.write(usage())
        return
    if name not in COMMANDS:
        sys.stderr.write(f"app: there is no command {name!r}\n\n{usage()}")
        raise SystemExit(2)
    gc.disable()  # a sixth of the time that it takes to load: nothing of it is garbage
    module = load(COMMANDS[name][0])
    gc.enable()
    module.cli(args=rest, prog_name=f"app {name}")


def load(name: str) -> ModuleType:
    """Import a command; exits with 2, and one line, where a file is no Python: a merge that is not over."""
    try:
        return importlib.import_module(name)
    except SyntaxError as error:
        sys.stderr.write(f"app: {error.filename}:{error.lineno} is no Python: {error.msg}\n")
        raise SystemExit(2) from None


def usage() -> str:
    """Return the table as text."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(["Usage: app COMMAND [OPTIONS]; app COMMAND --help says more.", "", *lines, ""])


if __name__ == "__main__":
    main()
