"""What a tracing server counts, in Prometheus' text form.

No label holds what came from outside: routes are templates, stations are marks
(zoneband.server.pseudonyms; `zoneband status --json` says whose). Counters begin at 0 with each
start; what the ledger knows is read when somebody asks."""

import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from zoneband.server.condition import Condition
from zoneband.server.pseudonyms import Pseudonyms

BATCH_ROUTE = "/v1/stations/{name}/batches/{sha256}"
NO_ROUTE = "none"
METHODS = {"GET", "PUT", "POST", "DELETE", "HEAD", "PATCH", "OPTIONS"}
_RESULTS = {201: "new", 200: "known", 202: "kept", 507: "disk_full"}
_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The metrics of one server. Calls may come from several threads."""

    def __init__(
        self,
        look: Callable[[], Condition],
        locked: Callable[[], bool],
        pseudonyms: Pseudonyms,
        utc: Callable[[], float] = time.time,
    ) -> None:
        """look: the server's condition; locked: whether the authority's key is not in memory."""
        self._registry = CollectorRegistry()
        self._pseudonyms = pseudonyms
        self._seconds = Histogram(
            "zoneband_request_seconds",
            "Requests by the template of their route.",
            ("method", "route", "status"),
            registry=self._registry,
            buckets=_BUCKETS_S,
        )
        self._batches = Counter(
            "zoneband_batches",
            "Uploaded batches: new, known before, kept without receipt, refused, failed.",
            ("result",),
            registry=self._registry,
        )
        for result in (*_RESULTS.values(), "refused", "failed"):
            self._batches.labels(result)
        self._slots = Counter(
            "zoneband_slots",
            "Slots of band logs that batches brought, new or not.",
            registry=self._registry,
        )
        self._records = Counter(
            "zoneband_records",
            "Records that batches brought and that were not in before.",
            registry=self._registry,
        )
        self._ahead = Gauge(
            "zoneband_station_clock_ahead_seconds",
            "How far a station's clock was ahead of the server's when it signed last.",
            ("station",),
            registry=self._registry,
        )
        self._registry.register(_Ledger(look, locked, pseudonyms, utc))

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request was answered. method: one of METHODS, or "other"; route: its template, or
        NO_ROUTE."""
        self._seconds.labels(method, route, str(status)).observe(seconds)
        if route == BATCH_ROUTE and method == "PUT":
            failed = "refused" if status < 500 else "failed"
            self._batches.labels(_RESULTS.get(status, failed)).inc()

    def signed(self, station: str, ahead_s: float) -> None:
        """A station's clock, from a request of its that was taken."""
        self._ahead.labels(self._pseudonyms.station(station)).set(ahead_s)

    def took(self, slots: int, new_records: int) -> None:
        """A batch was taken."""
        self._slots.inc(slots)
        self._records.inc(new_records)

    def text(self) -> bytes:
        """All of them."""
        return generate_latest(self._registry)


class _Ledger(Collector):
    """What is read from ledger and disk at each scrape."""

    def __init__(
        self,
        look: Callable[[], Condition],
        locked: Callable[[], bool],
        pseudonyms: Pseudonyms,
        utc: Callable[[], float],
    ) -> None:
        self._look = look
        self._locked = locked
        self._pseudonyms = pseudonyms
        self._utc = utc

    def describe(self) -> Iterator[Metric]:
        """Nothing is read when this is registered."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The values now; without a ledger only that it is away."""
        locked = int(self._locked())
        yield _gauge("authority_locked", "1 while no key of the authority is in memory.", locked)
        try:
            now = self._look()
        except SQLAlchemyError:
            yield _gauge("ledger_up", "Whether the ledger answers.", 0)
            return
        yield _gauge("ledger_up", "Whether the ledger answers.", 1)
        yield _gauge("disk_free_bytes", "Room for the data directory.", now.disk_free)
        yield _gauge("bands", "Enrolled bands.", now.bands)
        yield _gauge("waiting_batches", "Logs that are not worked in.", now.waiting_batches)
        yield _gauge("waiting_records", "Sealed records that wait.", now.waiting_records)
        yield _gauge("encounters", "Encounters held.", now.encounters)
        share = now.unresolved / now.encounters if now.encounters else 0
        yield _gauge("unresolved_share", "Share of them with an ID that is nobody's.", share)
        yield _gauge("days", "Days with encounters.", now.days)
        age = GaugeMetricFamily(
            "zoneband_station_newest_batch_age_seconds",
            "How long ago a station's newest batch came.",
            labels=("station",),
        )
        for row in now.stations:
            if row["seen_s"] is not None and row["state"] != "revoked":
                seconds = max(0.0, self._utc() - row["seen_s"])
                age.add_metric([self._pseudonyms.station(row["name"])], seconds)
        yield age


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"zoneband_{name}", about, value=value)
