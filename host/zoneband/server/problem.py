"""Answers that are errors: problem+json (RFC 9457)."""

from collections.abc import Mapping
from typing import Any

from fastapi.responses import JSONResponse


class Problem(Exception):
    """An answer that is an error. more: further members, for a program to read."""

    def __init__(
        self,
        status: int,
        title: str,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        self.status = status
        self.title = title
        self.headers = headers
        self.more = more


def answer(
    status: int,
    title: str,
    headers: dict[str, str] | None = None,
    more: Mapping[str, Any] | None = None,
) -> JSONResponse:
    """The answer itself; more: further members, for a program to read."""
    return JSONResponse(
        {"status": status, "title": title, **(more or {})},
        status,
        headers,
        media_type="application/problem+json",
    )
