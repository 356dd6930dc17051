"""What a campaign has counted so far: one object for scripts, and a file to go on from."""

import hashlib
import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from zoneband import durable
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _

_START = "0" * 64
FAILURES = (
    "lost", "doubled", "unreadable", "hung", "bricked", "crashes", "accepted_forgeries",
)  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """What a life came to; the hashes' inputs beside. said: what was wrong, for whoever looks into
    it."""

    lost: int
    doubled: int
    unreadable: int
    bricked: int
    truth: bytes
    result: bytes
    said: str


@dataclass
class Tally:
    """Counts of all rounds. The two hashes are over the bands' ground truth and over what the
    server holds, round by round; figures: what a campaign measures beside."""

    campaign: str
    seed: int
    rounds: int = 0
    lost: int = 0
    doubled: int = 0
    unreadable: int = 0
    hung: int = 0
    bricked: int = 0
    crashes: int = 0
    accepted_forgeries: int = 0
    truth_sha256: str = _START
    result_sha256: str = _START
    seconds: float = 0.0
    figures: dict[str, float] = field(default_factory=dict[str, float])
    evidence: Path | None = None

    @property
    def failures(self) -> int:
        """All that must never happen."""
        return sum(getattr(self, name) for name in FAILURES)

    def count(self, rounds: int, **failures: int) -> None:
        """Add rounds and what went wrong in them, by FAILURES."""
        self.rounds += rounds
        for name, number in failures.items():
            setattr(self, name, getattr(self, name) + number)

    def add(self, part: "Tally") -> None:
        """Take in what a part of the rounds came to."""
        self.count(part.rounds, **{name: getattr(part, name) for name in FAILURES})
        self.truth_sha256 = _chain(self.truth_sha256, bytes.fromhex(part.truth_sha256))
        self.result_sha256 = _chain(self.result_sha256, bytes.fromhex(part.result_sha256))

    def judge(self, verdict: Verdict, crashes: list[str]) -> None:
        """Take in the end of one band's life."""
        self.count(
            0,
            lost=verdict.lost,
            doubled=verdict.doubled,
            unreadable=verdict.unreadable,
            bricked=verdict.bricked,
            crashes=len(crashes),
        )
        self.witness(verdict.truth, verdict.result)

    def witness(self, truth: bytes, result: bytes) -> None:
        """Take a round's ground truth and what came of it into the hashes."""
        self.truth_sha256 = _chain(self.truth_sha256, truth)
        self.result_sha256 = _chain(self.result_sha256, result)

    def as_json(self) -> dict[str, Any]:
        """One flat object; every key is always there."""
        values = asdict(self)
        figures = values.pop("figures")
        del values["evidence"]
        return values | {"seconds": round(self.seconds, 1)} | figures


def _chain(before: str, data: bytes) -> str:
    return hashlib.sha256(bytes.fromhex(before) + hashlib.sha256(data).digest()).hexdigest()


class Keeper:
    """Keeps a campaign's tally in the data directory. Use as a context manager around its rounds:
    what was counted is kept, however it ends."""

    def __init__(self, data: Path, campaign: str, seed: int, resume: bool) -> None:
        """resume: go on from what is kept. Raises UserError when that cannot be read."""
        self._path = data / "campaigns" / f"{campaign}-{seed}.json"
        self.tally = Tally(campaign, seed)
        if resume and self._path.exists():
            try:
                kept = json.loads(self._path.read_text(encoding="utf-8"))
                figures = {name: kept.pop(name) for name in kept.keys() - asdict(self.tally).keys()}
                self.tally = Tally(**kept, figures=figures)
            except (ValueError, TypeError) as error:
                raise UserError(
                    _("{path} cannot be read: begin anew without --resume.").format(
                        path=self._path
                    ),
                    ExitCode.USAGE,
                ) from error
        self.tally.evidence = self._path.with_suffix("")
        self._began = 0.0

    def __enter__(self) -> Tally:
        self._began = time.monotonic()
        return self.tally

    def __exit__(self, *_: object) -> None:
        self.tally.seconds += time.monotonic() - self._began
        self._path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.tally.as_json()).encode()
        durable.write(self._path, lambda f: f.write(text))
