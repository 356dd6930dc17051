"""Opens the sealed sectors of batches before it is their turn, in processes of their own.

Opening slots is most of what a full batch costs, and one thread at a time works batches in. What is
opened here is only known in advance: each slot that zoneband.server.opener is asked for is compared
with the one that was opened. So nothing but time depends on it, and whatever goes wrong with these
processes the server opens the slots itself.

They hold the authority's keys as the server does. They end with it, however it ends.
"""

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing.connection import wait

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from zoneband.i18n import _
from zoneband.server.opener import Known, Opener, Run, SealedChain
from zoneband.wire import log

Chunks = Iterable[tuple[int, bytes]]
_MOST_PROCESSES = 8
_LEAST_SLOTS = 64  # of a batch: fewer are opened sooner than sent
_LONGEST_S = 60.0
_say = logging.getLogger(__name__)


class Ahead:
    """Opens for one server. Calls may come from several threads."""

    def __init__(self, processes: int | None = None) -> None:
        """processes: one less than there are processors, unless given; they start when they are
        needed first."""
        if processes is None:
            processes = min(_MOST_PROCESSES, (os.cpu_count() or 1) - 1)
        self._processes = processes
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None

    def opened(
        self,
        chunks: Chunks,
        keys: Mapping[int, X25519PrivateKey],
        serial: str,
        receipt_key: bytes,
    ) -> Known:
        """What is open of a batch's chunks, which may be nothing. keys: the authority's, by number;
        receipt_key: the band's (32 bytes)."""
        chunks = list(chunks)
        slots = sum(len(part) for _cursor, part in chunks) // log.SLOT_BYTES
        if not self._processes or not keys or slots < _LEAST_SLOTS:
            return {}
        raw = tuple((number, key.private_bytes_raw()) for number, key in keys.items())
        try:
            made = self._running().submit(_open, chunks, raw, serial, receipt_key)
            return made.result(_LONGEST_S)
        except Exception as error:
            # Whatever it is, such as a process that was killed: the batch must not wait for it.
            _say.warning(_("Logs are opened in the server's own process now: %r"), error)
            self.close()
            return {}

    def _running(self) -> ProcessPoolExecutor:
        with self._lock:
            if self._pool is None:
                if not self._processes:
                    raise RuntimeError("closed")
                # A fork would copy the locks of whichever threads run just then.
                context = multiprocessing.get_context("spawn")
                self._pool = ProcessPoolExecutor(self._processes, context, _begin)
            return self._pool

    def close(self) -> None:
        """End the processes; what is asked for afterwards is not opened."""
        with self._lock:
            pool, self._pool, self._processes = self._pool, None, 0
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)


# --- in a process of its own ----------------------------------------------------------------


def _begin() -> None:
    # Ctrl-C is the server's to answer; a server that is killed takes its processes along.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server = multiprocessing.parent_process()
    if server is not None:
        threading.Thread(target=_follow, args=(server.sentinel,), daemon=True).start()


def _follow(server: int) -> None:
    wait([server])
    os._exit(0)


@cache
def _keys(raw: tuple[tuple[int, bytes], ...]) -> dict[int, X25519PrivateKey]:
    return {number: X25519PrivateKey.from_private_bytes(key) for number, key in raw}


def _open(
    chunks: Chunks, raw: tuple[tuple[int, bytes], ...], serial: str, receipt_key: bytes
) -> dict[tuple[bytes, bytes], Run]:
    opener = Opener(_keys(raw), serial, receipt_key)
    found: dict[tuple[bytes, bytes], Run] = {}
    for slots in _sectors(chunks):
        header, group, first = slots[0], b"".join(slots[1 : log.FIRST_RECORD]), log.FIRST_RECORD
        chain = opener.chain(header, group)
        if not isinstance(chain, SealedChain) or chain.open(first, slots[first]) is None:
            continue
        secret = chain.secret
        chain.step(1)
        begin, at = chain.secret, first + 1
        records = chain.run(at, slots[at:])
        same = b"".join(slots[at : at + len(records)])
        found[header, group] = Run(at, secret, begin, same, b"".join(records), chain.secret)
    return found


def _sectors(chunks: Chunks) -> Iterator[list[bytes]]:
    # The slots of each sector that is there from its header on, as far as they are in one piece.
    size = log.SLOT_BYTES
    pieces: list[tuple[int, list[bytes]]] = []
    end = -1
    for cursor, part in chunks:
        if cursor != end:
            pieces.append((cursor, []))
        pieces[-1][1].append(part)
        end = cursor + len(part) // size
    for cursor, parts in pieces:
        whole = b"".join(parts)
        for at in range(-cursor % log.SLOTS * size, len(whole), log.SECTOR_BYTES):
            last = min(at + log.SECTOR_BYTES, len(whole))
            if last - at > (log.FIRST_RECORD + 1) * size:
                yield [whole[i : i + size] for i in range(at, last, size)]
