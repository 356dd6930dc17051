"""Rule sets: by what measure an exposure counts, each a TOML file of its own.

A health authority may have its own beside the built-in ones. What would be read in two ways is
refused: steps out of order, two sets of one name, a key that nobody knows.
"""

import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, field_validator
from pydantic.dataclasses import dataclass

from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _
from zoneband.reasons import said

BUILT_IN = Path(__file__).parent / "rules"
DEFAULT = "vietnam"
DAY_S = 86400
LONGEST_S = 31 * DAY_S

Decibels = Annotated[float, Field(ge=0, le=120)]
Weight = Annotated[float, Field(ge=0.001, le=10)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class RuleSet:
    """How minutes become an exposure.

    window_s: both bands' sightings are pooled in windows of this length. steps: (attenuation in dB,
    weight): a minute of a window whose mean attenuation is at most that counts so much, beyond the
    last step nothing; attenuations rise and weights, thousandths at the finest, fall. min_minutes:
    weighted minutes in any period_s that make a contact. drop_shorter_min, drop_beyond_db: a day
    (Vietnam's) with fewer minutes, near or far, or never nearer than that, does not count; 0 and
    None: every day does. days_before, days_after: of onset, or of the test without symptoms, on
    which a case is infectious. bridge_s: a pause up to this is still the same meeting."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")] = DEFAULT
    window_s: Annotated[int, Field(ge=60, le=900)] = 300
    steps: Annotated[tuple[tuple[Decibels, Weight], ...], Field(min_length=1, max_length=8)] = (
        (52.0, 1.0),
    )
    min_minutes: Annotated[float, Field(gt=0, le=1440)] = 15.0
    period_s: Annotated[int, Field(ge=900, le=LONGEST_S)] = DAY_S
    drop_shorter_min: Annotated[float, Field(ge=0, le=1440)] = 0.0
    drop_beyond_db: Decibels | None = None
    days_before: Annotated[int, Field(ge=0, le=21)] = 2
    days_after: Annotated[int, Field(ge=0, le=31)] = 14
    bridge_s: Annotated[int, Field(ge=0, le=600)] = 60

    @field_validator("steps")
    @classmethod
    def _in_order(cls, steps: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
        for (near, more), (far, less) in zip(steps, steps[1:], strict=False):
            if far <= near or less >= more:
                raise ValueError(_("steps overlap: attenuation must rise and weight fall"))
        return steps

    @property
    def needed(self) -> int:
        """min_minutes in thousandths of a weighted second."""
        return round(self.min_minutes * 60_000)

    @property
    def drop_shorter_s(self) -> int:
        """drop_shorter_min in seconds."""
        return round(self.drop_shorter_min * 60)

    def weight(self, attenuation_db: float) -> int:
        """What a minute at a mean attenuation counts, in thousandths."""
        for at_most, weight in self.steps:
            if attenuation_db <= at_most:
                return round(weight * 1000)
        return 0

    def near(self, attenuation_db: float) -> bool:
        """Whether an attenuation is within the first step."""
        return attenuation_db <= self.steps[0][0]

    def as_json(self) -> dict[str, Any]:
        """Every parameter, as answers carry it."""
        return asdict(self) | {"steps": [list(step) for step in self.steps]}

    @staticmethod
    def from_json(values: dict[str, Any]) -> "RuleSet":
        """What as_json gave. Raises ValueError."""
        return _ADAPTER.validate_python(values)


_ADAPTER = TypeAdapter(RuleSet)


def load(directory: Path | None = None) -> dict[str, RuleSet]:
    """The built-in rule sets by name, with those of a directory's TOML files. Raises UserError
    naming file and key of what is wrong."""
    found: dict[str, RuleSet] = {}
    files: dict[str, Path] = {}
    for folder in (BUILT_IN, directory):
        for path in sorted(folder.glob("*.toml")) if folder else ():
            rule = _read(path)
            if rule.name in found:
                raise _bad(
                    path, "name", _("{other} has that name too").format(other=files[rule.name])
                )
            found[rule.name], files[rule.name] = rule, path
    return found


def choose(rules: dict[str, RuleSet], name: str) -> RuleSet:
    """A rule set by its name. Raises UserError when there is none."""
    rule = rules.get(name)
    if rule is None:
        raise UserError(
            _("There is no rule set {name}. Rule sets are: {names}").format(
                name=name, names=", ".join(sorted(rules))
            ),
            ExitCode.USAGE,
        )
    return rule


def _read(path: Path) -> RuleSet:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(
            _("{path} cannot be read: {error}").format(path=path, error=said(error)), ExitCode.USAGE
        ) from error
    if "name" not in values:
        raise _bad(path, "name", _("is missing"))
    try:
        return RuleSet.from_json(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        if first["type"] == "unexpected_keyword_argument":
            raise _bad(path, key, _("there is no such key")) from error
        reason = first.get("ctx", {}).get("error", first["msg"])
        raise _bad(path, key, str(reason)) from error


def _bad(path: Path, key: str, wrong: str) -> UserError:
    return UserError(
        _("{path} is no rule set: {key}: {wrong}").format(path=path, key=key, wrong=wrong),
        ExitCode.USAGE,
    )
