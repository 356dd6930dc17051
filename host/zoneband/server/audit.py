"""What the tracing server writes into its audit log, and when.

A look at people's data and a change are written before they are done, and what came of a change
after it ("done"), or why it was not done ("refused"); "of" is the number of the first line. Of
people there is nothing but the account, the case's number and the band's serial.

Refusals of callers that nobody knows, and of accounts that ask too fast, are limited, or they
would fill the disk: what is beyond the limit is counted, and the next such line says how many
("more").
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoneband.errors import UserError
from zoneband.i18n import _
from zoneband.reasons import said
from zoneband.server.audit_log import NAME, AuditLog, Fault
from zoneband.server.limits import Buckets

# Whoever works on the server's own computer. No account has brackets in its name.
OPERATOR = "(server)"
DONE, REFUSED = "done", "refused"
TOO_FAST = "rate"  # as zoneband.server.signed names it
_LIMITED_PER_S, _LIMITED_BURST = 0.2, 100


class Unwritable(UserError):
    """The audit log cannot be written: nothing is answered, nothing is done."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(
            _("The audit log {path} cannot be written ({error}): nothing is done without it.")
            .format(path=path, error=said(error))
        )  # fmt: skip


class Audit:
    """The audit log of one server's directory. Calls may come from several threads."""

    def __init__(self, directory: Path, utc: Callable[[], float] = time.time) -> None:
        """utc: Unix seconds now."""
        self.path = directory / NAME
        self._log = AuditLog(self.path, utc)
        self._limited = Buckets(_LIMITED_PER_S, _LIMITED_BURST)
        self._mine = threading.Lock()
        self._more: Counter[str | None] = Counter()

    def write(self, event: str, account: str | None, **facts: Any) -> int:
        """Write a line; its number. It is on the disk when this returns. Raises Unwritable."""
        try:
            return self._log.write(event, account, **facts)
        except OSError as error:
            raise Unwritable(self.path, error) from error

    def refused(self, account: str | None, why: str, **facts: Any) -> None:
        """Write that something was refused; account: None when nobody knows who asked. Raises
        Unwritable."""
        if account is not None and why != TOO_FAST:
            self.write(REFUSED, account, why=why, **facts)
            return
        with self._mine:
            if self._limited.take(account or ""):
                self._more[account] += 1
                return
            more = self._more.pop(account, 0)
        if more:
            facts["more"] = more
        try:
            self.write(REFUSED, account, why=why, **facts)
        except Unwritable:
            with self._mine:
                self._more[account] += more + 1
            raise

    @contextmanager
    def doing(self, event: str, account: str | None, **facts: Any) -> Generator[dict[str, Any]]:
        """Write that a change is begun, and at the end of the block what came of it; what the block
        puts into the dict is written, too. Raises Unwritable, before anything is done."""
        of = self.write(event, account, **facts)
        more: dict[str, Any] = {}
        try:
            yield more
        except Exception as error:
            self.write(REFUSED, account, of=of, why=type(error).__name__)
            raise
        self.write(DONE, account, of=of, **more)


def fault_text(fault: Fault) -> str:
    """What is wrong with an audit log, in a sentence."""
    n, last = fault.seq, fault.last
    if fault.kind == "missing" and last > n:
        return _("The audit log was cut: lines {n} to {last} are missing.").format(n=n, last=last)
    texts = {
        "altered": _("The audit log was altered: line {n} is not as it was written."),
        "missing": _("The audit log was cut: line {n} is missing."),
        "order": _("The audit log was altered: what stands for line {n} belongs elsewhere."),
        "replaced": _("The audit log was altered: line {n} does not follow the line before it."),
        "torn": _(
            "Line {n} of the audit log is torn off: it was being written when power or server "
            "went. The server's next line mends that, and says so."
        ),
    }
    return texts[fault.kind].format(n=n)
