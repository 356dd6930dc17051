"""Rounds side by side, their results in order; and campaigns that live bands' whole lives."""

import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from zoneband.campaigns.life import Life
from zoneband.campaigns.tally import Tally, Verdict
from zoneband.sim import solo

_T = TypeVar("_T")


def each_in_turn(
    work: Callable[[int], _T], numbers: Iterable[int], at_once: int = 0
) -> Generator[_T]:
    """work(number) for each, some at once (0: as many as this computer has cores), in order."""
    with ThreadPoolExecutor(at_once or os.cpu_count() or 1) as pool:
        yield from pool.map(work, numbers)


def lives(
    tally: Tally,
    rounds: int,
    per_band: int,
    told: Callable[[str], None],
    changes: solo.Changes,
    live: Callable[[Tally, Life, solo.Compiled, int], None],
    signer: bytes = b"",
    at_once: int = 0,
) -> None:
    """That many rounds more, per_band of them to a band, which is then held against its ground
    truth. live(tally, life, compiled, rounds) is what one band goes through; signer: whose updates
    it takes; at_once: bands, 0: as many as this computer has cores."""
    first = -(-tally.rounds // per_band)
    shares = [min(per_band, rounds - at) for at in range(0, rounds, per_band)]
    with tempfile.TemporaryDirectory(prefix=f"zoneband-{tally.campaign}") as folder:
        root = Path(folder)
        compiled = solo.compile_all(root / "compiled", changes)

        def one(number: int) -> Tally:
            part = Tally(tally.campaign, tally.seed)
            life = Life(root / str(number), compiled, number, tally.seed, signer)
            try:
                live(part, life, compiled, shares[number - first])
                verdict = life.judge()
                part.judge(verdict, life.crashes)
            finally:
                life.close()
            if part.failures and tally.evidence:
                _keep(root / str(number), tally.evidence / str(number), verdict, life.crashes)
            shutil.rmtree(root / str(number), ignore_errors=True)
            return part

        # Whoever breaks off waits for the bands that live, and begins no others.
        with closing(each_in_turn(one, range(first, first + len(shares)), at_once)) as parts:
            for part in parts:
                tally.add(part)
                told(f"{tally.rounds} {f'✗ {tally.failures}' if tally.failures else '✓'}")


def _keep(life: Path, to: Path, verdict: Verdict, crashes: list[str]) -> None:
    # What is left of a failed life, and what was wrong with it.
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(life, to, symlinks=True)
    (to / "wrong.txt").write_text("\n\n".join((verdict.said, *crashes)), encoding="utf-8")
