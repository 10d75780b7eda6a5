"""The page at `/` and its files, read once at the start: no request path is looked up in the file system."""

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mien_orchestrator.edge.http.replies import encoded
from mien_orchestrator.settings import Settings

_FOLDER = Path(__file__).parent / "static"
_PAGE = "index.html"

_TYPES = {
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".css": "text/css",
    ".html": "text/html",
    ".jpg": "image/jpeg",
}

_PERMISSIONS = "camera=(self), microphone=(), geolocation=()"


def page_routes(settings: Settings) -> list[Route]:
    """Return the routes of the page, its files, and the settings that it needs."""
    known = {"compare_models": settings.models.selectable, "grpc_port": settings.server.port}
    files = sorted(path for path in _FOLDER.iterdir() if path.suffix != ".py")
    return [
        Route("/static/settings.json", fixed(encoded(known), "application/json")),
        *(
            Route("/" if path.name == _PAGE else f"/static/{path.name}", fixed(path.read_bytes(), _TYPES[path.suffix]))
            for path in files
        ),
    ]


def fixed(content: bytes, kind: str) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint with constant content, which browsers cache and revalidate."""
    tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    headers = {"cache-control": "no-cache", "etag": tag, "permissions-policy": _PERMISSIONS}

    async def answer(request: Request) -> Response:
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=kind, headers=headers)

    return answer
