"""The evaluation's results as JSON, and as a table."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from zoneband.evaluate.score import Counts, Result, best_shift
from zoneband.evaluate.sets import Found
from zoneband.i18n import _
from zoneband.tracing.rules import RuleSet


@dataclass(frozen=True)
class Group:
    """Several scenes under one rule set, each judged with its own threshold; in_sample: (shift in
    dB, pairs by truth and verdict) with the one that is best on all of them together."""

    name: str
    rule: RuleSet
    scenes: int
    counts: Counts
    in_sample: tuple[int, Counts] | None


def groups(results: Sequence[Result]) -> Iterator[Group]:
    """Every group of several scenes, by rule set."""
    sorted_in: dict[tuple[str, str, str], list[Result]] = {}
    for r in results:
        key = (r.judged.scene.form, r.judged.scene.group, r.rule.name)
        sorted_in.setdefault(key, []).append(r)
    for (_form, name, _rules), mine in sorted_in.items():
        if len(mine) < 2:
            continue
        shift_db = best_shift([r.judged for r in mine])
        yield Group(
            name,
            mine[0].rule,
            len(mine),
            sum((r.counts for r in mine), Counts()),
            shift_db
            if shift_db is None
            else (shift_db, sum((r.judged.counts(shift_db) for r in mine), Counts())),
        )


def as_json(results: Sequence[Result], found: Found, near_m: float, near_min: float) -> Any:
    """Everything; shares are of 1, None where there is no pair to take them of."""
    return {
        "near_m": near_m,
        "near_min": near_min,
        "scenes": [
            {
                "form": str(r.judged.scene.form),
                "group": r.judged.scene.group,
                "scene": r.judged.scene.name,
                "rules": r.rule.name,
                "sightings": len(r.judged.scene.sightings),
                "pairs": len(r.judged.pairs),
                "near": r.counts.hits + r.counts.misses,
                "near_unheard": r.judged.unheard,
                "no_ground_truth": r.judged.unknown,
                "threshold_db": r.threshold_db,
                "shift_db": r.shift_db,
                "chosen": "leave-one-scene-out" if r.left_out else "in-sample",
                **_figures(r.counts),
                "unshifted": _figures(r.unshifted),
            }
            for r in results
        ],
        "groups": [
            {
                "group": group.name,
                "rules": group.rule.name,
                "scenes": group.scenes,
                **_figures(group.counts),
                "in_sample": _in_sample(group),
            }
            for group in groups(results)
        ],
        "unread": [{"path": str(path), "why": why} for path, why in found.unread],
        "passed_over": [str(path) for path in found.passed_over],
    }


def _in_sample(group: Group) -> dict[str, Any] | None:
    if group.in_sample is None:
        return None
    shift_db, counts = group.in_sample
    return {"threshold_db": group.rule.steps[0][0] + shift_db, **_figures(counts)}


def _figures(counts: Counts) -> dict[str, Any]:
    return {
        **asdict(counts),
        "sensitivity": counts.sensitivity,
        "false_positive_rate": counts.false_positive_rate,
        "balanced_accuracy": counts.balanced_accuracy,
    }


def table(results: Sequence[Result], near_m: float, near_min: float) -> Table:
    """A block for every scene, with a line for each rule set; then one for every group."""
    title = _("Near: within {near_m:g} m for {near_min:g} minutes")
    title = title.format(near_m=near_m, near_min=near_min)
    view = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False)
    view.add_column(_("scene"), overflow="fold")
    for head in (
        _("threshold"),
        _("sensitivity"),
        _("false\npositives"),
        _("balanced\naccuracy"),
        _("unshifted"),
    ):
        view.add_column(head, justify="right")
    shown = None
    for r in results:
        if r.judged.scene is not shown:
            shown = r.judged.scene
            view.add_section()
            view.add_row(f"[bold]{escape(shown.name)}[/]\n{_pairs(r)}")
        view.add_row(
            f"  {r.rule.name}",
            f"{r.threshold_db:g} dB" + ("" if r.left_out else " *"),
            *_shares(r.counts),
            _percent(r.unshifted.balanced_accuracy),
        )
    last = None
    for group in groups(results):
        if last != group.name:
            last = group.name
            head = _("{group}: {n} scenes").format(group=escape(group.name), n=group.scenes)
            view.add_section()
            view.add_row(f"[bold]{head}[/]")
        view.add_row(f"  {group.rule.name}", "", *_shares(group.counts), "")
    return view


def _pairs(result: Result) -> str:
    counts = result.counts
    near, other = counts.hits + counts.misses, counts.alarms + counts.passes
    return _("{near} near, {other} not, {unknown} unknown").format(
        near=near, other=other, unknown=result.judged.unknown
    )


def notes(results: Sequence[Result]) -> list[str]:
    """What a reader of the table must know."""
    lines = [
        _(
            "Threshold: attenuation of the rule set's first step, shifted with all its steps to "
            "what is best on the group's other scenes. Unshifted: balanced accuracy with the rule "
            "set as it is. Unknown: no distance was measured."
        )
    ]
    if not all(r.left_out for r in results):
        lines.append(
            _("* no other scene to choose on: chosen on this scene itself, which flatters it.")
        )
    unheard = max((r.judged.unheard for r in results), default=0)
    if unheard:
        lines.append(_("Near pairs that never heard each other count as missed."))
    lines.append(_("Phones are not bands: no public set of band-to-band measurements exists yet."))
    return lines


def _shares(counts: Counts) -> tuple[str, str, str]:
    return (
        _percent(counts.sensitivity),
        _percent(counts.false_positive_rate),
        _percent(counts.balanced_accuracy),
    )


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"
