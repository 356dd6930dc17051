"""A story: who is where and when, and what follows from it for a contact tracer.

Everything varies with the seed (people, places, times, distances), and every story has the
same cast of situations, so that its truth can be told without looking at any radio.
"""

import math
import random
from dataclasses import dataclass
from enum import Enum

from zoneband import serials
from zoneband.i18n import _

# The market opens at 06:00 in Vietnam: 23:00 UTC of the day before.
START_HOUR_UTC = 23
STEP_S = 10


class Verdict(Enum):
    """What the truth of the story says about one person."""

    MUST_CALL = "must_call"
    MUST_NOT = "must_not"
    BORDERLINE = "borderline"


@dataclass(frozen=True)
class Stay:
    """Someone at one spot (metres) from start_s to before end_s (seconds of the story)."""

    start_s: int
    end_s: int
    x: float
    y: float
    place: str


@dataclass(frozen=True)
class Actor:
    """One band: its serial, whom it is on, and where that person stays."""

    serial: str
    name: str
    part: str
    stays: tuple[Stay, ...]
    verdict: Verdict | None  # None: the case
    venue: bool = False
    docked_s: tuple[int, int] | None = None  # in a station's cradle for this span

    def at(self, time_s: int) -> Stay:
        """Where the actor is at a time; the last stay holds to the end."""
        for stay in self.stays:
            if stay.start_s <= time_s < stay.end_s:
                return stay
        return self.stays[-1]


@dataclass(frozen=True)
class Story:
    """The actors (the case first), the length in seconds and when it begins (Unix, UTC)."""

    seed: int
    start_utc_s: int
    end_s: int
    actors: tuple[Actor, ...]

    @property
    def case(self) -> Actor:
        return self.actors[0]

    def metres(self, a: Actor, b: Actor, time_s: int) -> float:
        """Distance between two actors at a time."""
        p, q = a.at(time_s), b.at(time_s)
        return math.hypot(p.x - q.x, p.y - q.y)

    def minutes_within(self, a: Actor, b: Actor, metres: float) -> float:
        """Minutes that two actors spend within a distance, docked time left out."""
        steps = 0
        for t in range(0, self.end_s, STEP_S):
            if _in_dock(a, t) or _in_dock(b, t):
                continue
            steps += self.metres(a, b, t) <= metres
        return steps * STEP_S / 60


def _in_dock(actor: Actor, time_s: int) -> bool:
    return actor.docked_s is not None and actor.docked_s[0] <= time_s < actor.docked_s[1]


_WOMEN = ("Hoa", "Lan", "Mai", "Thu", "Hạnh", "Nga", "Yến", "Cúc", "Liên", "Dung")
_MEN = ("Minh", "Tư", "Nam", "Hùng", "Tâm", "Phúc", "Bình", "Sơn", "Long", "Đức")
# Far beyond any radio, so that the places of the story are apart.
_CLINIC = (400.0, 0.0)
_HOME = (0.0, 400.0)
_ROAD = (400.0, 400.0)


def make(seed: int, start_day_utc_s: int) -> Story:
    """The story of a seed; start_day_utc_s: a UTC midnight before it begins."""
    rng = random.Random(f"zoneband story {seed}")
    women = rng.sample(_WOMEN, 3)
    men = rng.sample(_MEN, 3)
    end_s = 150 * 60

    def around(distance: float) -> tuple[float, float]:
        angle = rng.uniform(0, 2 * math.pi)
        return distance * math.cos(angle), distance * math.sin(angle)

    def minutes(low: int, high: int) -> int:
        return rng.randrange(low * 60, high * 60, STEP_S)

    market, clinic, home, road = _("market"), _("clinic"), _("home"), _("on the way")

    def away(start: int, end: int, spot: tuple[float, float], place: str) -> Stay:
        x, y = around(rng.uniform(12, 30))
        return Stay(start, end, spot[0] + x, spot[1] + y, place)

    # The case stands at her stall until she goes to the clinic.
    to_clinic = minutes(95, 105)
    case = Actor(
        serials.make(rng.randrange),
        _("Ms {name}").format(name=women[0]),
        _("trader, infected"),
        (
            Stay(0, to_clinic, 0.0, 0.0, market),
            Stay(to_clinic, end_s, _CLINIC[0], _CLINIC[1], clinic),
        ),
        None,
    )
    # Sits with the case, within arm's reach.
    came = minutes(12, 25)
    left = came + minutes(27, 38)
    x, y = around(rng.uniform(0.8, 1.4))
    elder = Actor(
        serials.make(rng.randrange),
        _("Grandmother {name}").format(name=women[1]),
        _("sits at the stall"),
        (
            away(0, came, _HOME, road),
            Stay(came, left, x, y, market),
            Stay(left, end_s, _HOME[0], _HOME[1], home),
        ),
        Verdict.MUST_CALL,
    )
    # Buys something and goes on.
    bought = minutes(30, 70)
    gone = bought + minutes(4, 8)
    x, y = around(rng.uniform(0.8, 1.4))
    passer = Actor(
        serials.make(rng.randrange),
        _("Mr {name}").format(name=men[0]),
        _("only passes by"),
        (
            away(0, bought, _ROAD, road),
            Stay(bought, gone, x, y, market),
            away(gone, end_s, _ROAD, road),
        ),
        Verdict.MUST_NOT,
    )
    # Another stall, in sight but not near.
    opened = minutes(10, 20)
    closed = opened + minutes(62, 75)
    x, y = around(rng.uniform(6.5, 9))
    stall = Actor(
        serials.make(rng.randrange),
        _("Mr {name}").format(name=men[1]),
        _("stall across the aisle"),
        (
            away(0, opened, (800.0, 0.0), road),
            Stay(opened, closed, x, y, market),
            away(closed, end_s, (800.0, 0.0), road),
        ),
        Verdict.MUST_NOT,
        docked_s=(0, opened - 120),
    )
    # Receives the case at the clinic, at a desk's distance.
    seen = to_clinic + minutes(3, 8)
    done = seen + minutes(12, 22)
    x, y = around(rng.uniform(2.0, 3.2))
    nurse = Actor(
        serials.make(rng.randrange),
        _("Nurse {name}").format(name=women[2]),
        _("receives the case at the clinic"),
        (
            away(0, seen, (_CLINIC[0] + 60, _CLINIC[1]), clinic),
            Stay(seen, done, _CLINIC[0] + x, _CLINIC[1] + y, clinic),
            away(done, end_s, (_CLINIC[0] + 60, _CLINIC[1]), clinic),
        ),
        Verdict.BORDERLINE,
    )
    # At home with the elder afterwards, never with the case. Until then docked beside `stall`.
    x, y = around(rng.uniform(0.8, 1.4))
    relative = Actor(
        serials.make(rng.randrange),
        _("Mr {name}").format(name=men[2]),
        _("lives with {name}").format(name=elder.name),
        (
            Stay(0, opened, stall.stays[0].x + 0.2, stall.stays[0].y, road),
            Stay(opened, end_s, _HOME[0] + x, _HOME[1] + y, home),
        ),
        Verdict.MUST_NOT,
        docked_s=(0, opened - 120),
    )
    x, y = around(rng.uniform(4, 7))
    venue = Actor(
        serials.make(rng.randrange),
        _("Market beacon"),
        _("stands for the place"),
        (Stay(0, end_s, x, y, market),),
        Verdict.BORDERLINE,
        venue=True,
    )
    start = start_day_utc_s + START_HOUR_UTC * 3600 + rng.randrange(0, 900, 300)
    return Story(seed, start, end_s, (case, elder, passer, stall, nurse, relative, venue))
