"""The table of rows: name, unit, bar, and the function that measures it.

A function may measure several rows in one run; it returns {row name: value}.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass

Measure = Callable[[], dict[str, float]]
_RULES = {">=": operator.ge, "<=": operator.le}


@dataclass(frozen=True)
class Row:
    """One figure; rule is ">=", "<=" or None when it is only shown."""

    name: str
    unit: str
    rule: str | None
    bar: float | None
    measure: Measure
    large: bool

    def ok(self, value: float) -> bool | None:
        """Whether the value holds the bar; None without one."""
        if self.rule is None or self.bar is None:
            return None
        return bool(_RULES[self.rule](value, self.bar))


ROWS: dict[str, Row] = {}


def rows(
    *facts: tuple[str, str, str | None, float | None], large: bool = False
) -> Callable[[Measure], Measure]:
    """Register a function for rows given as (name, unit, rule, bar)."""

    def register(measure: Measure) -> Measure:
        for name, unit, rule, bar in facts:
            ROWS[name] = Row(name, unit, rule, bar, measure, large)
        return measure

    return register
