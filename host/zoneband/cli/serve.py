"""`zoneband serve`: the tracing server."""

import socket
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from fastapi import FastAPI

from zoneband import authority
from zoneband.cli import engines, operator, passphrases
from zoneband.cli.options import Data, data_dir
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _
from zoneband.reasons import said
from zoneband.server import audit_log, logs, running, watch, wholeness
from zoneband.server.ahead import Ahead
from zoneband.server.alone import alone, alone_on_ledger
from zoneband.server.app import make_app
from zoneband.server.audit import fault_text
from zoneband.server.database import VARIABLE, read_url, telling
from zoneband.server.limits import Limits
from zoneband.server.moving import settle
from zoneband.server.tls import Tls
from zoneband.server.upkeep import Upkeep

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_BURST_S = 10  # of requests at their rate, that may come at once


def _unlock(where: Path, file: Path | None) -> dict[int, X25519PrivateKey]:
    # The authority's private keys, {} when there are none here or nobody gives the passphrase.
    if not list((where / "authority").glob("key-*.private.json")):
        return {}
    passphrase = passphrases.find(file)
    if passphrase is None and sys.stdin.isatty():
        passphrase = passphrases.ask(_("The authority's passphrase (empty: stay locked)"))
    return authority.unlock(where, passphrase) if passphrase else {}


def _check_port(host: str, port: int) -> None:
    # The server would say it in its log alone, after it has greeted.
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise UserError(
            _("The server cannot listen at {host}, port {port}: {reason}.").format(
                host=host, port=port, reason=said(error)
            )
        ) from error


def _look_at_audit(directory: Path) -> None:
    # A torn last line is mended by the next; what is altered is said at every start.
    path = directory / audit_log.NAME
    fault = audit_log.verify(audit_log.lines_of(path)).fault if path.exists() else None
    if fault is not None:
        print(fault_text(fault), file=sys.stderr, flush=True)


def command(
    data: Data = None,
    host: Annotated[str, typer.Option(help=_("Address to listen on."))] = "127.0.0.1",
    port: Annotated[int, typer.Option(help=_("Port to listen on."), min=0, max=65535)] = 8470,
    tls_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help=_("Holds fullchain.pem and privkey.pem; what is renewed there is served."),
        ),
    ] = None,
    passphrase_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help=_("Holds the authority's passphrase, else it is asked.")),
    ] = None,
    ledger: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar=VARIABLE,
            help=_("Keep the ledger in PostgreSQL, at postgresql://USER@HOST/DATABASE."),
        ),
    ] = None,
    station_rate: Annotated[
        float, typer.Option(help=_("Requests per second of one station."), min=0.1)
    ] = 50,
    address_rate: Annotated[
        float, typer.Option(help=_("Requests per second of stations at one address."), min=0.1)
    ] = 1000,
    station_quota: Annotated[
        float, typer.Option(help=_("Megabytes that one station may bring a day."), min=1)
    ] = 256,
    two_persons: Annotated[
        bool,
        typer.Option(
            "--two-persons", help=_("Trace a case only when a second person has confirmed it.")
        ),
    ] = False,
    log_json: Annotated[
        bool | None,
        typer.Option(
            "--log-json/--log-text",
            help=_("Log in JSON, as where stderr is no terminal; or in text."),
        ),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            metavar="ENGINE",
            help=_("What answers traces: duckdb, or Apache Spark as sc://HOST:PORT."),
        ),
    ] = "duckdb",
) -> None:
    """Run the tracing server until Ctrl-C."""
    if tls_dir is None and host not in _LOOPBACK:
        raise UserError(
            _("Plain HTTP only on this computer itself: give --tls-dir."), ExitCode.USAGE
        )
    engine = engines.named(engine)
    tls = Tls(tls_dir) if tls_dir else None
    limits = Limits(
        station_per_s=station_rate,
        station_burst=_BURST_S * station_rate,
        address_per_s=address_rate,
        address_burst=_BURST_S * address_rate,
        quota_per_day=station_quota * 1e6,
    )
    token = watch.find_token()
    where = data_dir(data)
    with alone(where / "server"):
        logs.configure(not sys.stderr.isatty() if log_json is None else log_json, where / "server")
        if ledger is not None and settle(where / "server", read_url(ledger)):
            print(_("The ledger was moved from SQLite to PostgreSQL."), flush=True)
        with alone_on_ledger(where / "server"):
            _check_port(host, port)
            private = _unlock(where, passphrase_file)
            ahead = Ahead()
            application = _application(where, private, limits, two_persons, token, engine, ahead)
            _look_at_audit(where / "server")
            _greet(running.url_of("https" if tls else "http", host, port), bool(private))
            with closing(ahead), Upkeep(application.state.server).running():
                running.run(application, where / "server", host, port, list(private), tls, tls_dir)


def _application(
    where: Path,
    private: dict[int, X25519PrivateKey],
    limits: Limits,
    two_persons: bool,
    metrics_token: str | None,
    engine: str,
    ahead: Ahead,
) -> FastAPI:
    directory = where / "server"
    with telling(directory):
        application = make_app(
            directory,
            public_keys=authority.public_keys(where),
            private_keys=private,
            limits=limits,
            two_persons=two_persons,
            erasures=operator.erasures(where),
            metrics_token=metrics_token,
            engine=engine,
            ahead=ahead,
        )
        for line in wholeness.settle(application.state.server, directory):
            print(line, flush=True)
    return application


def _greet(url: str, unlocked: bool) -> None:
    print(_("Tracing server on {url}").format(url=url), flush=True)
    print(_("Tracers log in at {url}").format(url=f"{url}/tracer/"), flush=True)
    print(_("Stations come with a code of: zoneband station invite NAME"), flush=True)
    if not unlocked:
        text = _(
            "Locked: enrolments, persons and logs are kept sealed until the passphrase is given."
        )
        print(text, flush=True)
