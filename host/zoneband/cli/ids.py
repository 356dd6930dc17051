"""`zoneband ids`: rotating IDs of a base key, and vector files."""

import hashlib
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _
from zoneband.reasons import said
from zoneband.wire import bluezone


def command(
    base_key: Annotated[str | None, typer.Option(metavar="HEX64")] = None,
    base_day: Annotated[str | None, typer.Option(metavar="YYYY-MM-DD")] = None,
    day: Annotated[int, typer.Option(metavar="N", min=0, help=_("Whole days after it."))] = 0,
    verify: Annotated[
        Path | None, typer.Option(metavar="FILE", help=_("Check a vector file."))
    ] = None,
) -> None:
    """Print a day's 96 IDs in upper-case hex, or check a file of vectors."""
    if verify is not None:
        _verify(verify)
        return
    if base_key is None or base_day is None:
        raise UserError(_("Give --base-key and --base-day, or --verify FILE."), ExitCode.USAGE)
    if not re.fullmatch(r"[0-9a-fA-F]{64}", base_key):
        raise UserError(_("--base-key is 64 hex digits."), ExitCode.USAGE)
    try:
        datetime.strptime(base_day, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise UserError(_("--base-day is a date, YYYY-MM-DD."), ExitCode.USAGE) from None
    for rotating_id in bluezone.day_ids(_day_key(bytes.fromhex(base_key), day)):
        print(rotating_id.hex().upper())


def _day_key(key: bytes, days: int) -> bytes:
    for _n in range(days):
        key = bluezone.next_day_key(key)
    return key


def _verify(path: Path) -> None:
    try:
        vectors: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["vectors"]
        wrong, count = check(vectors)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            _("{path} cannot be read as vectors ({error}).").format(path=path, error=said(error)),
            ExitCode.USAGE,
        ) from error
    if wrong:
        for line in wrong:
            print(line)
        raise UserError(_("{n} IDs are wrong.").format(n=len(wrong)), ExitCode.WRONG)
    print(_("{n} IDs are right.").format(n=count))


def check(vectors: list[dict[str, Any]]) -> tuple[list[str], int]:
    """(one line per wrong ID, IDs checked) of a vector file's `vectors`."""
    wrong: list[str] = []
    count = 0
    for vector in vectors:
        for each in vector["days"]:
            key = _day_key(bytes.fromhex(vector["base_id"]), each["day_offset"])
            if key.hex().upper() != each["daily_key"]:
                wrong.append(f"{vector['name']} day {each['day_offset']}: day key")
            ids = bluezone.day_ids(key, vector["max_per_day"])
            whole = vector.get("all_ids_sha256_day0")
            if whole and each["day_offset"] == 0:
                count += len(ids) - len(each["ids"])
                text = b"".join(ids).hex().upper().encode()
                if hashlib.sha256(text).hexdigest() != whole:
                    wrong.append(f"{vector['name']} day 0: hash of all IDs")
            for one in each["ids"]:
                count += 1
                if ids[one["slot"]].hex().upper() != one["bluezone_id"]:
                    wrong.append(f"{vector['name']} day {each['day_offset']} slot {one['slot']}")
    return wrong, count
