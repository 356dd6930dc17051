"""The default rule set against two filmed scenes of public measurements, if they are on disk."""

from bench.rows import rows
from support import ROOT

# Not in the project: their licence forbids altered copies, and the whole set is public.
_SCENES = ROOT.parent / "shared" / "data" / "dp3t-exp05"


def evaluation() -> dict[str, float]:
    """Lunch and office of DP-3T's experiment 05: pairs within 2 m for 10 minutes, packed into band
    records first, each scene with the threshold that is best on the other."""
    from zoneband.evaluate import report, score, sets
    from zoneband.tracing.rules import DEFAULT, load

    results = score.evaluate(sets.read([_SCENES]).scenes, [load()[DEFAULT]], 2, 10)
    [group] = report.groups(results)
    values = {"eval_balanced_exp05": group.counts.balanced_accuracy}
    values["eval_sensitivity_exp05"] = group.counts.sensitivity
    values["eval_false_positives_exp05"] = group.counts.false_positive_rate
    if group.in_sample:
        values["eval_balanced_in_sample_exp05"] = group.in_sample[1].balanced_accuracy
    for result in results:
        scene = result.judged.scene.name.split("-")[-1]
        values[f"eval_balanced_{scene}"] = result.counts.balanced_accuracy
    return {name: value for name, value in values.items() if value is not None}


if _SCENES.is_dir():
    rows(
        ("eval_balanced_exp05", "share", None, None),
        ("eval_sensitivity_exp05", "share", None, None),
        ("eval_false_positives_exp05", "share", None, None),
        ("eval_balanced_in_sample_exp05", "share", None, None),
        ("eval_balanced_lunch", "share", None, None),
        ("eval_balanced_office", "share", None, None),
    )(evaluation)
