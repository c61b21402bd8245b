"""`app serve`."""

import typer
import uvicorn

from app.config import settings

cli = typer.Typer(add_completion=False)


@cli.command()
def run(host: str = "127.0.0.1", port: int = 8000, workers: int = 1) -> None:
    """Serve the API until a signal; requests under way are finished first."""
    settings.need("database.url")
    settings.need("auth.signing_keys")
    uvicorn.run(
        "app.asgi:app",
        host=host,
        port=port,
        workers=workers,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=30,
    )
