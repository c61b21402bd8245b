"""`app dev`."""

from pathlib import Path
from typing import Annotated

import typer

from app.embedded import attach, dev

cli = typer.Typer(add_completion=False)


@cli.command()
def run(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 for any free one.")] = 8000,
    data_dir: Annotated[Path, typer.Option(help="Where database and keys are kept.")] = dev.DEFAULT_DATA_DIR,
    workers: Annotated[int, typer.Option(min=1, max=64, help="How many processes carry out tasks.")] = 1,
    demo: Annotated[bool, typer.Option(help="Make demo tenants and people.")] = True,
    env: Annotated[
        bool, typer.Option("--env", help="Start nothing; print how other commands find what runs there.")
    ] = False,
) -> None:
    """Start everything on a bare machine, and keep it running until Ctrl-C.

    `eval "$(app dev --env)"` lets every other command of a shell work with what runs; exits 1 when nothing does.
    """
    if env:
        raise typer.Exit(attach.show(data_dir))
    raise typer.Exit(dev.run(host, port, data_dir, workers=workers, demo=demo))
