"""The command `client demo`: serve the demo page from this process and open it in a browser."""

import asyncio
import threading
import webbrowser
from typing import Annotated

import typer

from mien.cli.exit_codes import leave
from mien.errors import EmbeddedUnavailableError, MienError


def demo(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page; 0 for a free one.")] = 0,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = True,
) -> None:
    """Serve a page that analyzes photographs, on this machine, until Ctrl-C."""
    try:
        asyncio.run(_serve(port, open_browser))
    except MienError as error:
        raise leave(error) from error


async def _serve(port: int, open_browser: bool) -> None:
    try:
        from mien_orchestrator.settings import Settings
        from mien_orchestrator.single import serve
    except ImportError as error:
        raise EmbeddedUnavailableError(
            f"the demo needs the package {error.name!r}: pip install 'mien[serve]'"
        ) from error

    def ready(address: str, url: str) -> None:
        typer.echo(f"the page is at {url}/ until Ctrl-C")
        if open_browser:
            threading.Thread(target=webbrowser.open, args=[f"{url}/"], daemon=True).start()  # some browsers block

    settings = {"server.host": "127.0.0.1", "server.port": 0, "http.port": port, "http.enabled": True}
    await serve(Settings.load({**settings, "models.selectable": True}), ready)
