"""The list of erasures: what was asked for, before anything of it is done, in files of its own.

A ledger or a directory that is restored from a backup has what was erased after the backup. So the
list is written to every place that it is given, one of them outside of what is backed up together
with the ledger, and what is in any of the places and not in the ledger is erased again at the next
start. It holds serials of bands, days and numbers of hand-outs; no name, no ID, no key.

A file is JSON lines, one erasure each; it is replaced as a whole.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from zoneband import durable, serials
from zoneband.errors import UserError
from zoneband.i18n import _

NAME = "erasures.jsonl"
_LAST = 1 << 40


@dataclass(frozen=True)
class Part:
    """A band on whoever is erased, from from_s to before to_s (UTC seconds); to_s None: until the
    band is handed to somebody else than by the hand-out of this number."""

    serial: str
    from_s: int
    to_s: int | None
    number: int | None = None


@dataclass(frozen=True)
class Erasure:
    """One erasure; id: 32 hexadecimal digits; made_s: when it was asked for. people: hand-outs
    (serial, number) whose person is erased too; none when only some days are."""

    id: str
    made_s: int
    parts: tuple[Part, ...]
    people: tuple[tuple[str, int], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Keys and values of a line."""
        return asdict(self)


def read_one(value: Any) -> Erasure:
    """An erasure of its JSON. Raises ValueError."""
    try:
        parts = tuple(
            Part(p["serial"], p["from_s"], p["to_s"], p["number"]) for p in value["parts"]
        )
        people = tuple((serial, number) for serial, number in value["people"])
        found = Erasure(value["id"], value["made_s"], parts, people)
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError("no erasure") from error
    numbers: list[Any] = [found.made_s, *(number for _serial, number in people)]
    for part in parts:
        numbers += [part.from_s, part.number if part.to_s is None else part.to_s]
    name_of: Any = found.id
    names: list[Any] = [*(part.serial for part in parts), *(serial for serial, _n in people)]
    if (
        not isinstance(name_of, str)
        or not re.fullmatch(r"[0-9a-f]{32}", name_of)
        or not parts
        or any(type(number) is not int or not 0 <= number < _LAST for number in numbers)
        or any(not isinstance(name, str) or not re.match(serials.PATTERN, name) for name in names)
    ):
        raise ValueError("no erasure")
    return found


def load(path: Path) -> list[Erasure]:
    """The erasures of a file, oldest first; [] when there is none. Raises UserError for one that
    cannot be read: to go on without it would bring somebody back."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(_("{path} cannot be read.").format(path=path)) from error
    found: list[Erasure] = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(read_one(json.loads(line)))
        except (ValueError, RecursionError) as error:
            raise UserError(
                _(
                    "{path}, line {line}, is no erasure. Put the other copy of this file in its "
                    "place."
                ).format(path=path, line=number)
            ) from error
    return found


class Erasures:
    """The list in all its places."""

    def __init__(self, folders: Sequence[Path]) -> None:
        """folders: where a copy is kept."""
        self._paths = [folder / NAME for folder in folders]

    def every(self) -> list[Erasure]:
        """What any of the copies has, oldest first. Raises UserError."""
        found = {each.id: each for path in self._paths for each in load(path)}
        return sorted(found.values(), key=lambda each: (each.made_s, each.id))

    def add(self, new: Iterable[Erasure]) -> None:
        """Add some. In every place when this returns; a place that lacked some then has all.
        Raises OSError and UserError, and then the list may be longer in some places only: every
        copy counts."""
        known = {each.id: each for each in self.every()}
        known |= {each.id: each for each in new}
        ordered = sorted(known.values(), key=lambda each: (each.made_s, each.id))
        text = "".join(json.dumps(each.as_json()) + "\n" for each in ordered).encode()
        for path in self._paths:
            if ordered and (not path.exists() or path.read_bytes() != text):
                path.parent.mkdir(parents=True, exist_ok=True)
                durable.write(path, lambda f: f.write(text), 0o600)
