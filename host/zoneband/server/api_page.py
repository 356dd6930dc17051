"""GET /docs: every call of the server for whoever writes a program, from its own OpenAPI. The page
needs nothing from another computer: a server may stand in a network of its own."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from zoneband.server.pages.templates import render

_Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Call:
    """One call in words. values: (name, where it stands, what it is) of each parameter; body:
    (name, what it is) of each member of a JSON body."""

    method: str
    path: str
    text: str
    values: list[tuple[str, str, str]]
    body: list[tuple[str, str]]


def add(app: FastAPI) -> None:
    """Add the page to an application that has all its other routes."""

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:  # pyright: ignore[reportUnusedFunction]
        return HTMLResponse(render("api.html", calls=list(calls(app.openapi()))))


def calls(described: _Schema) -> Iterator[Call]:
    """The calls of an OpenAPI description, in its order."""
    schemas: _Schema = described.get("components", {}).get("schemas", {})
    for path, methods in described["paths"].items():
        for method, one in methods.items():
            values = [
                (each["name"], each["in"], _kind(each["schema"], each.get("required", False)))
                for each in one.get("parameters", [])
            ]
            text = one.get("description") or one.get("summary", "")
            yield Call(method.upper(), path, text, values, _body(one, schemas))


def _body(one: _Schema, schemas: _Schema) -> list[tuple[str, str]]:
    content = one.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return []
    schema = content["schema"]
    schema = schemas.get(str(schema.get("$ref", "")).rpartition("/")[2], schema)
    needed = schema.get("required", [])
    members = schema.get("properties", {}).items()
    return [(name, _kind(each, name in needed)) for name, each in members]


def _kind(schema: _Schema, required: bool) -> str:
    # integer, string or null, …; and whether it may be left out.
    some = schema.get("anyOf") or schema.get("oneOf") or [schema]
    names = [str(each.get("type") or str(each.get("$ref", "")).rpartition("/")[2]) for each in some]
    return " or ".join(name for name in names if name) + ("" if required else ", may be left out")
