"""How often the exposure rules are right about the pairs of a scene.

The truth: near is a pair that was within some metres for some minutes of the scene. A rule set is
asked the same minutes (its own are scaled to them), and its verdict comes from the tracing server's
own exposure code over what bands would have recorded. How loud a set's devices are is unknown, so
the levels of a group of scenes are shifted by whole decibels, all thresholds of the rule set alike;
the shift that a scene is judged with is the one that is best on the group's other scenes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from zoneband.evaluate.pack import pack
from zoneband.evaluate.scene import Pair, Scene
from zoneband.tracing.exposure import judge
from zoneband.tracing.query import Evidence
from zoneband.tracing.rules import RuleSet

# Shifts that are tried, in dB: levels of all public sets lie within.
_SHIFTS_DB = range(-40, 41)
# A threshold must hold when levels change by a little: it is as good as those up to 3 dB away.
_AROUND_DB = 3
# Of a distance that was held for less than the minutes asked for, half the time is asked.
_SHARE = 0.5
_LEAST_MIN = 1 / 60  # a scene of one sighting has no length, and rules ask for some time
_ALWAYS = (0, 1 << 40)


@dataclass(frozen=True)
class Counts:
    """Pairs by truth and verdict."""

    hits: int = 0
    misses: int = 0
    alarms: int = 0  # false ones
    passes: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.hits + other.hits,
            self.misses + other.misses,
            self.alarms + other.alarms,
            self.passes + other.passes,
        )

    @property
    def sensitivity(self) -> float | None:
        """Share of near pairs that were found; None without any."""
        near = self.hits + self.misses
        return self.hits / near if near else None

    @property
    def false_positive_rate(self) -> float | None:
        """Share of the other pairs that were taken for near; None without any."""
        far = self.alarms + self.passes
        return self.alarms / far if far else None

    @property
    def balanced_accuracy(self) -> float | None:
        """Mean of sensitivity and specificity; None where either is unknown."""
        found, false = self.sensitivity, self.false_positive_rate
        return None if found is None or false is None else (found + 1 - false) / 2


@dataclass(frozen=True)
class Judged:
    """A scene under one rule set. near: (truth, least shift in dB at which the rule set says near,
    None when at none) of every pair with a known distance."""

    scene: Scene
    pairs: Sequence[tuple[bool, int | None]]
    unknown: int  # pairs without a known distance
    unheard: int  # pairs of near people of which no record was made

    def counts(self, shift_db: int) -> Counts:
        """Pairs by truth and verdict when levels are shifted so."""
        said = [(truth, least is not None and least <= shift_db) for truth, least in self.pairs]
        return Counts(
            said.count((True, True)),
            said.count((True, False)),
            said.count((False, True)),
            said.count((False, False)),
        )


@dataclass(frozen=True)
class Result:
    """One line of the table; threshold_db: the rule set's first step as it was shifted; left_out:
    whether it was chosen on other scenes than this one; unshifted: with the thresholds as the rule
    set has them."""

    judged: Judged
    rule: RuleSet
    shift_db: int
    left_out: bool
    counts: Counts
    unshifted: Counts

    @property
    def threshold_db(self) -> float:
        """The first step of the rule set with the shift, attenuation in dB."""
        return self.rule.steps[0][0] + self.shift_db


def evaluate(
    scenes: Sequence[Scene],
    rules: Sequence[RuleSet],
    near_m: float,
    near_min: float,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[Result]:
    """A result for every scene and rule set, in this order; progress: (done, in all)."""
    total = len(scenes) * len(rules)
    judged: dict[str, list[Judged]] = {rule.name: [] for rule in rules}
    for n, scene in enumerate(scenes):
        records = pack(scene)
        for m, rule in enumerate(rules):
            progress(n * len(rules) + m, total)
            judged[rule.name].append(_judge(scene, records, rule, near_m, near_min))
    return [
        _result(mine, judged[rule.name], rule)
        for n in range(len(scenes))
        for rule in rules
        for mine in (judged[rule.name][n],)
    ]


def _judge(
    scene: Scene,
    records: dict[Pair, list[Evidence]],
    rule: RuleSet,
    near_m: float,
    near_min: float,
) -> Judged:
    length_s = scene.length_s
    found: list[tuple[bool, int | None]] = []
    unheard = 0
    for pair in scene.pairs:
        spans = scene.distance.get(pair)
        if not spans:
            continue
        lasts_min = scene.lasts_s.get(pair, length_s) / 60
        asked = max(_LEAST_MIN, min(near_min, _SHARE * lasts_min))
        near_s = sum(span.to_s - span.from_s for span in spans if 0 <= span.metres <= near_m)
        truth = near_s / 60 >= asked
        rows = records.get(pair, [])
        unheard += truth and not rows
        found.append((truth, _least_shift(_scaled(rule, asked), rows)))
    return Judged(scene, found, len(scene.pairs) - len(found), unheard)


def _scaled(rule: RuleSet, asked_min: float) -> RuleSet:
    return replace(
        rule,
        min_minutes=asked_min,
        drop_shorter_min=rule.drop_shorter_min * asked_min / rule.min_minutes,
    )


def _least_shift(rule: RuleSet, rows: Sequence[Evidence]) -> int | None:
    # The nearer all levels are shifted, the more minutes count: so the least shift at which enough
    # do is found by halving.
    def enough(shift_db: int) -> bool:
        return judge(rule, rows, *_ALWAYS, offsets={0: shift_db})["must_call"]

    low, high = _SHIFTS_DB[0], _SHIFTS_DB[-1]
    if not rows or not enough(high):
        return None
    while low < high:
        middle = (low + high) // 2
        if enough(middle):
            high = middle
        else:
            low = middle + 1
    return low


def _result(mine: Judged, every: Sequence[Judged], rule: RuleSet) -> Result:
    group = [j for j in every if j.scene.group == mine.scene.group]
    group = [j for j in group if j.scene.form == mine.scene.form]
    others = [j for j in group if j is not mine]
    shift_db = best_shift(others)
    left_out = shift_db is not None
    if shift_db is None:
        shift_db = best_shift(group) or 0
    return Result(mine, rule, shift_db, left_out, mine.counts(shift_db), mine.counts(0))


def best_shift(scenes: Sequence[Judged]) -> int | None:
    """The best shift (dB) on some scenes together; None when near pairs or others are missing."""
    known: list[float] = []
    for shift_db in _SHIFTS_DB:
        accuracy = sum((s.counts(shift_db) for s in scenes), Counts()).balanced_accuracy
        if accuracy is None:
            return None
        known.append(accuracy)
    smooth = [
        sum(part) / len(part)
        for n in range(len(known))
        for part in (known[max(0, n - _AROUND_DB) : n + _AROUND_DB + 1],)
    ]
    # Of several that are equally good, the middle one; rounded, so that sums in floating point
    # do not choose.
    top = round(max(smooth), 9)
    best = [n for n, value in enumerate(smooth) if round(value, 9) == top]
    return _SHIFTS_DB[best[len(best) // 2]]
