"""Groups and orders over HTTP: what zoneband.server.app adds to its other routes."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Query, Response
from pydantic import BaseModel, Field

from zoneband.server.gate import Asker, asker
from zoneband.server.groups import Full, UnknownGroup
from zoneband.server.problem import Problem
from zoneband.server.tracing_server import TracingServer

LAST = (1 << 32) - 1
Who = Annotated[Asker, Depends(asker)]
GROUP_PATTERN = r"^[^/\x00-\x1f]{1,64}$"


class GroupBody(BaseModel):
    """A new group."""

    name: str = Field(pattern=GROUP_PATTERN)


class OrderBody(BaseModel):
    """An order that a person gives."""

    kind: Literal["unlock", "rekey", "retire", "clock"]


def add_routes(
    app: FastAPI,
    server: TracingServer,
    station: Callable[..., str],
) -> None:
    """Add the routes. station: a dependency that lets only stations in, and gives the caller's
    name."""
    for_accounts = [Depends(asker)]

    @app.get("/v1/stations/{name}/groups")
    def station_groups(name: str, caller: Annotated[str, Depends(station)]) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        """Keys of the groups that a station serves, every generation; for that station alone. New
        bands are made for the first group."""
        if caller != name:
            raise Problem(403, "this key is another station's", reason="station")
        return {"groups": server.groups.of_station(name)}

    @app.get("/v1/groups", dependencies=for_accounts)
    def groups() -> list[dict[str, Any]]:  # pyright: ignore[reportUnusedFunction]
        """All groups, without their keys, and how many of their bands have the newest key."""
        return server.groups.every()

    @app.post("/v1/groups", status_code=201, dependencies=for_accounts)
    def add_group(body: GroupBody, response: Response) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        """Make a group with a new key: 201; 200 when there is one of this name."""
        try:
            number, new = server.groups.add(body.name)
        except Full:
            raise Problem(409, "all numbers of groups are used") from None
        response.status_code = 201 if new else 200
        return {"name": body.name, "number": number}

    @app.post("/v1/groups/{name}/renew", status_code=201, dependencies=for_accounts)
    def renew_group(name: str) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        """Replace a group's key by a next generation, and order each of its bands to take the dock
        key of that."""
        try:
            generation, bands = server.groups.renew(name)
        except UnknownGroup:
            raise Problem(404, "no such group") from None
        except Full:
            raise Problem(409, "all generations of this group's key are used") from None
        return {"name": name, "generation": generation, "bands": bands}

    @app.post("/v1/bands/{serial}/orders", status_code=201)
    def add_order(serial: str, body: OrderBody, who: Who) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        """Make an order to a band, which it carries out at its next dock. A clock order allows, for
        7 days, one setting of the clock however far it goes."""
        who.note(kind=body.kind)
        number = server.orders.make(serial, body.kind)
        return {"serial": serial, "kind": body.kind, "number": number}

    @app.get("/v1/bands/{serial}/orders", dependencies=[Depends(station)])
    def orders(
        serial: str, after: Annotated[int, Query(ge=0, le=LAST)] = 0
    ) -> dict[str, list[str]]:  # pyright: ignore[reportUnusedFunction]
        """A band's orders that it has not carried out, behind number `after`, oldest first, for any
        station that docks it. Nothing in them tells a station what they order."""
        return {"orders": [order.hex() for order in server.orders.pending(serial, after)]}

    @app.get("/v1/bands/{serial}/orders/all", dependencies=for_accounts)
    def all_orders(serial: str) -> list[dict[str, Any]]:  # pyright: ignore[reportUnusedFunction]
        """All orders that were ever made to a band, and which of them are done."""
        return server.orders.every(serial)
