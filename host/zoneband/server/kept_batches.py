"""The files of batches. Each is named by the SHA-256 of what a station sent. One that slots were
cut out of since keeps its name and ends in a mark and its own SHA-256, so that an older ledger,
which knows nothing of the cut, can still tell it from one that the disk has spoilt."""

import hashlib
from pathlib import Path

from zoneband import batch as batches
from zoneband.batch import Batch

# Behind a batch this is no chunk: it would claim more slots than any batch holds.
_MARK = b"ZBCUT001"
_END_BYTES = len(_MARK) + 32


def cut(batch: Batch) -> bytes:
    """The file of a batch that slots were cut out of."""
    data = batches.pack(batch.header, batch.chunks)
    return data + _MARK + hashlib.sha256(data).digest()


def plain(data: bytes) -> bytes:
    """What a file holds, without the mark of a cut."""
    whole, end = data[:-_END_BYTES], data[-_END_BYTES:]
    return whole if end == _MARK + hashlib.sha256(whole).digest() else data


def is_whole(data: bytes, name: str) -> bool:
    """Whether a file is as it was sent, or as it was cut."""
    return batches.name(data) == name or plain(data) is not data


def read(path: Path) -> Batch:
    """The batch in a file. Raises OSError, and ValueError for one that is none any more."""
    return batches.unpack(plain(path.read_bytes()))
