"""The documentation page: Swagger UI out of an installed wheel, so that no other site's script runs beside a token.

Its paths are relative to the page, so that a prefix of a proxy does not matter.
"""

from functools import partial
from importlib import resources
from pathlib import Path

from fastapi import FastAPI, Request, Response
from starlette.responses import FileResponse, HTMLResponse

PAGE = "/docs"
FOLDER = Path(str(resources.files("fastapi_standalone_docs"))) / "static" / "swagger"
FILES = {
    f"{PAGE}/swagger-ui.css": (FOLDER / "swagger-ui.css", "text/css"),
    f"{PAGE}/swagger-ui-bundle.js": (FOLDER / "swagger-ui-bundle.js", "text/javascript"),
}
"""Path -> the file that is served there, and what it is."""
START = f"{PAGE}/start.js"
PATHS = frozenset({PAGE, START, *FILES})

# Swagger UI writes style attributes of its own, and its icons are in its style sheet.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HTML = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>API documentation</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" href="data:,">
</head>
<body>
<div id="page"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
SCRIPT = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#page",
  deepLinking: true,
  validatorUrl: null,
});
"""
KEPT = {"Cache-Control": "public, max-age=3600"}


def install(app: FastAPI) -> None:
    """Serve the page and what it loads."""
    app.add_route(PAGE, page, include_in_schema=False)
    app.add_route(START, start, include_in_schema=False)
    for path, (source, kind) in FILES.items():
        app.add_route(path, partial(file, source=source, kind=kind), include_in_schema=False)


async def page(_: Request) -> Response:
    """Answer the page."""
    return HTMLResponse(HTML, headers={"Content-Security-Policy": POLICY})


async def start(_: Request) -> Response:
    """Answer the script that starts Swagger UI; one within the page would need a weaker policy."""
    return Response(SCRIPT, media_type="text/javascript", headers=KEPT)


async def file(_: Request, source: Path, kind: str) -> Response:
    """Answer one of the wheel's files."""
    return FileResponse(source, media_type=kind, headers=KEPT)
