"""What only whoever runs the server may do, over HTTP: the verbs on the server's computer ask this
way while it runs, with the token that lies in its directory."""

from collections.abc import Callable
from typing import Any

from fastapi import Depends, FastAPI

from zoneband.server.tracing_server import TracingServer


def add_routes(app: FastAPI, server: TracingServer, operator: Callable[..., None]) -> None:
    """Add the routes. operator: a dependency that lets nobody else in."""
    for_operator = [Depends(operator)]

    @app.post("/v1/retention", dependencies=for_operator)
    def retain() -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        """Drop now what is older than 21 days by this computer's clock: how much, by kind."""
        return server.retention.run().as_json()
