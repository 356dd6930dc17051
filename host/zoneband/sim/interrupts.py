"""Flashing cut short at random moments, then begun again: is there a good band, and what it held?

A round takes a blank board, or a band with a log, starts the real `zoneband flash` on it, and after
a random time either kills that with all its children or pulls the cable. Then it is flashed again,
to the end.
"""

import json
import os
import queue
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoneband.sim.workshop import Workshop
from zoneband.wire import bluezone, log

_SLOTS = 2
# A whole run takes about so long here; the moments are drawn from all of it.
_RUN_S = 4.5
_ENCOUNTERS = 140  # more than a sector's


@dataclass(frozen=True)
class Round:
    """One board's story. faults: what was wrong at its end, none when it is well."""

    number: int
    kind: str  # "blank" or "band"
    how: str  # "kill" or "pull"
    after_s: float
    faults: tuple[str, ...]


def run(
    directory: Path, rounds: int, seed: int, told: Callable[[Round], None] = lambda _round: None
) -> list[Round]:
    """That many rounds, some at a time; told: called with each as it ends."""
    work: queue.Queue[int] = queue.Queue()
    for number in range(rounds):
        work.put(number)
    found: list[Round] = []
    with Workshop(directory, seed=seed) as shop:
        places = threading.Lock()

        def slot(n: int) -> None:
            while True:
                try:
                    number = work.get_nowait()
                except queue.Empty:
                    return
                rng = random.Random(f"zoneband interrupts {seed} {number}")
                try:
                    made = _round(shop, n, number, rng)
                except Exception as error:  # a round that cannot be judged is a bad one
                    made = Round(number, "?", "?", 0.0, (repr(error),))
                with places:
                    found.append(made)
                told(made)

        threads = [threading.Thread(target=slot, args=(n + 1,)) for n in range(_SLOTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return sorted(found, key=lambda each: each.number)


def _start(shop: Workshop, port: Path) -> subprocess.Popen[bytes]:
    words = ["flash", "--json", "--port", str(port), "--board", shop.kind.name]
    return subprocess.Popen(
        [sys.executable, "-m", "zoneband", *words, "--baud", str(shop.baud)]
        + ["--data", str(shop.data)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )


def _round(shop: Workshop, slot: int, number: int, rng: random.Random) -> Round:
    board = shop.tray.add()
    port = shop.tray.put(slot, board)
    kind = "band" if rng.random() < 0.5 else "blank"
    how = "kill" if rng.random() < 0.5 else "pull"
    after_s = rng.uniform(0, _RUN_S)
    serial, held, keys = None, b"", b""
    try:
        if kind == "band":
            first = shop.flash(port)
            if first.outcome != "done":
                return Round(number, kind, how, 0.0, (f"before: {first.message}",))
            serial = first.serial
            shop.fill(port, _ENCOUNTERS)
            shop.greet(port)  # its program runs, and writes what it writes at a start
            held, keys = shop.partition(board, "bandlog"), shop.partition(board, "bandkeys")
        began = bluezone.slot_at(int(time.time()))
        process = _start(shop, port)
        time.sleep(after_s)
        if how == "pull":
            shop.tray.pull(slot)
            process.communicate(timeout=60)
            shop.tray.put(slot, board)
        else:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        again = _start(shop, port)
        out = again.communicate(timeout=120)[0]
        results = json.loads(out) if out else [{"outcome": "nothing", "message": "no answer"}]
        faults = _judge(shop, port, results[0], serial)
        if kind == "band":
            if not _kept(held, shop.partition(board, "bandlog")):
                faults.append("the log is not what it was")
            # Setting the clock steps the keys on when a new ID is due.
            same_slot = bluezone.slot_at(int(time.time())) == began
            if same_slot and shop.partition(board, "bandkeys") != keys:
                faults.append("the ID keys are not what they were")
        return Round(number, kind, how, after_s, tuple(faults))
    finally:
        if slot in shop.tray.slots:
            shop.tray.pull(slot)


def _judge(shop: Workshop, port: Path, result: dict[str, Any], serial: str | None) -> list[str]:
    if result["outcome"] != "done":
        return [str(result["message"])]
    faults: list[str] = []
    band = shop.greet(port)
    if band.serial != result["serial"]:
        faults.append(f"the band says {band.serial!r}")
    if serial is not None and band.serial != serial:
        faults.append(f"it was {serial} and is {band.serial}")
    made = shop.inventory.made(band.serial)
    if made is None or not made.done:
        faults.append("the inventory does not know it")
    elif made.enrolment not in {each.name for each in shop.spool.waiting_sealed()}:
        faults.append("its enrolment does not wait for the server")
    return faults


def _kept(before: bytes, after: bytes) -> bool:
    # Every slot that was programmed is as it was; new ones may have come.
    size = log.SLOT_BYTES
    return all(
        before[at : at + size] in (log.ERASED, after[at : at + size])
        for at in range(0, len(before), size)
    )
