"""How large a body of an account or a stranger may be, and how long it may take to come. Those of
stations are measured by zoneband.server.signed, those of forms by zoneband.server.pages.shell."""

import asyncio

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.types import Message

from zoneband.server.problem import Problem

_MOST_BYTES = 65_536
# The list of all erasures there were.
_MORE_BYTES = {"POST /v1/erasures:replay": 64 << 20}
_MOST_S = 120.0


def bounded(request: Request, endpoint: str) -> Request:
    """The same request, whose body raises HTTPException 413 or 408 when it is read. endpoint: as
    zoneband.server.roles names it."""
    most = _MORE_BYTES.get(endpoint, _MOST_BYTES)
    size, whole = 0, False
    until_s: float | None = None

    async def receive() -> Message:
        nonlocal size, whole, until_s
        if whole:
            return await request.receive()  # the caller's going away
        until_s = until_s or asyncio.get_running_loop().time() + _MOST_S
        try:
            async with asyncio.timeout_at(until_s):
                message = await request.receive()
        except TimeoutError:
            raise HTTPException(408) from None
        size += len(message.get("body", b""))
        if size > most:
            raise HTTPException(413)
        whole = not message.get("more_body", False)
        return message

    return Request(request.scope, receive)


def problem(error: HTTPException, endpoint: str) -> Exception:
    """What the caller is told of a body that was not read to its end; any other error as it is."""
    if error.status_code == 413:
        return Problem(413, f"at most {_MORE_BYTES.get(endpoint, _MOST_BYTES) // 1024} KiB")
    if error.status_code == 408:
        return Problem(408, "the body did not come in time", reason="slow")
    return error
