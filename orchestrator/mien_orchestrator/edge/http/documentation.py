"""The page `/docs`: the description of the interface as HTML, without a script and without another host."""

import re
from collections.abc import Iterator
from html import escape
from typing import Any

from starlette.routing import Route

from mien_orchestrator.edge.http.pages import fixed

Json = dict[str, Any]

_STYLE = b"""
html { background: Canvas; color: CanvasText; }
:root { color-scheme: light dark; --edge: #8886; --soft: #8882; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; }
pre { background: var(--soft); padding: .75rem; overflow-x: auto; border-radius: 6px; }
h2 { border-top: 1px solid var(--edge); padding-top: 1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; display: block; overflow-x: auto; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--edge); }
.method { font-weight: 700; text-transform: uppercase; }
"""

_EXAMPLE = """curl --data-binary @photo.jpg localhost:8080/v1/analyze
curl --form file=@photo.jpg 'localhost:8080/v1/analyze?tasks=age,gender&max_faces=3'
curl --header 'Authorization: Bearer TOKEN' https://mien.example/v1/server"""


def documentation(description: Json) -> list[Route]:
    """Return the routes of the page and its style sheet."""
    page, style = "".join(_page(description)).encode(), _STYLE
    return [
        Route("/docs", fixed(page, "text/html")),
        Route("/docs.css", fixed(style, "text/css")),
    ]


def _page(description: Json) -> Iterator[str]:
    info = description["info"]
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Mien: HTTP interface</title>'
    yield '<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="docs.css">'
    yield '<link rel="icon" href="static/icon.svg" type="image/svg+xml"></head><body><main>'
    yield f"<h1>Mien {escape(info['version'])}: HTTP interface</h1><p>{_text(info['description'])}</p>"
    yield f'<pre>{escape(_EXAMPLE)}</pre><p>For tools: <a href="openapi.json">openapi.json</a>.</p>'
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            yield from _operation(path, method, operation)
    for name, schema in description["components"]["schemas"].items():
        yield from _schema(name, schema)
    yield "</main></body></html>"


def _operation(path: str, method: str, operation: Json) -> Iterator[str]:
    title = f'<span class="method">{method}</span> <code>{escape(path)}</code>'
    yield f'<h2 id="{escape(operation["operationId"])}">{title}</h2>'
    yield f"<p>{_text(operation['summary'])}</p>"
    if body := operation.get("requestBody"):
        kinds = ", ".join(f"<code>{escape(kind)}</code>" for kind in body["content"])
        yield f"<p>Body: {_text(body['description'])} Content types: {kinds}.</p>"
    if parameters := operation["parameters"]:
        yield _row("th", "parameter", "in", "description", first=True)
        for parameter in parameters:
            name = f"<code>{escape(parameter['name'])}</code>"
            yield _row("td", name, parameter["in"], _text(parameter["description"]))
        yield "</table>"
    yield _row("th", "status", "body", "meaning", first=True)
    for status, response in operation["responses"].items():
        yield _row("td", status, _kind(_content(response)), _text(response["description"]))
    yield "</table>"


def _content(response: Json) -> Json:
    schema: Json = response.get("content", {}).get("application/json", {}).get("schema", {})
    return schema


def _schema(name: str, schema: Json) -> Iterator[str]:
    yield f'<h2 id="schema-{escape(name)}"><code>{escape(name)}</code></h2>'
    yield f"<p>{_text(schema.get('description', ''))}</p>"
    yield _row("th", "field", "type", "description", first=True)
    for field, value in schema["properties"].items():
        yield _row("td", f"<code>{escape(field)}</code>", _kind(value), _text(value.get("description", "")))
    yield "</table>"


def _kind(value: Json) -> str:
    if reference := value.get("$ref"):
        name = escape(reference.rpartition("/")[2])
        return f'<a href="#schema-{name}"><code>{name}</code></a>'
    if "enum" in value:
        return "<br>".join(f"<code>{escape(item)}</code>" for item in value["enum"])
    if "items" in value:
        return f"list of {_kind(value['items'])}"
    if value.get("additionalProperties"):
        return (
            f"map to {_kind(value['additionalProperties'])}" if value["additionalProperties"] is not True else "object"
        )
    return escape(str(value.get("format", value.get("type", ""))))


def _row(cell: str, *texts: str, first: bool = False) -> str:
    scope = ' scope="col"' if cell == "th" else ""
    return (
        ("<table>" if first else "") + "<tr>" + "".join(f"<{cell}{scope}>{text}</{cell}>" for text in texts) + "</tr>"
    )


def _text(text: str) -> str:
    """Return text as HTML, with `code` between back-quotes."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
