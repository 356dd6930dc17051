# Taking an update over the dock, loaded when one comes. What is here already stays over every cut:
# the signed manifest (b.manifest), and the application file as far as it has come (b.new). Only a
# whole file whose hash is right as read back from flash gets its name (b.app), and only then the
# next start is another.

import gc
import os
import sys

from wire import bundle, messages, records, updates
from wire.compat import const

from . import cable, files, modules, trial

# Written at once, so that it is seldom that littlefs has to move half a block; and what a cut
# takes at most.
_WRITE_BYTES = const(2048)
_STARTS = const(3)


class Refusal(Exception):
    # args[0]: reason of REFUSED.
    pass


class Update:
    def __init__(self, store, board, version, signer, running, feed):
        # version: that runs; signer: number and key (33 bytes) of who signs, b"" when nobody does;
        # running: the place that runs, "a" or "b"; feed: feeds the watchdog.
        self.ready = False  # the next start is the new version's
        self._store = store
        self._board = board
        self._version = version
        self._signer = signer
        self._feed = feed
        self._other = "a" if running == "b" else "b"
        self._coming = b""  # of the manifest and its signature
        self._held = b""  # both, whole and good
        self._bytes = 0  # of the application file
        self._digest = b""
        self._at = 0  # of it in flash
        self._buffer = None
        self._filled = 0

    def _name(self, end):
        return self._other + end

    # --- the manifest ------------------------------------------------------------------------

    def manifest(self, offset, total, data):
        # A piece of the manifest and its signature. Raises Refusal, OSError.
        if not bundle.SIGNATURE_BYTES < total <= bundle.MANIFEST_MAX + bundle.SIGNATURE_BYTES:
            raise Refusal(messages.BAD_UPDATE)
        if offset == 0:
            self._coming = b""
        if offset == len(self._coming) and offset + len(data) <= total:
            self._coming += data
        if len(self._coming) == total and self._coming != self._held:
            self._take(self._coming)

    def _take(self, signed):
        self._held = b""
        number, digest, size = self._check(signed)
        choice = self._store.get("place", 0)
        pending = choice >> 3
        if pending and (pending != number or _read(self._name(".manifest")) != signed):
            # The other place is spoken for: by the way back, or by what starts next.
            raise Refusal(messages.BAD_STATE)
        self._held = signed
        self._digest = digest
        self._bytes = size
        if pending:
            self.ready = True
            return
        if _read(self._name(".manifest")) != signed:
            for end in (".manifest", ".app", ".new", ""):
                _remove(self._name(end))
                self._feed()
            with open(self._name(".manifest"), "wb") as f:
                f.write(signed)
        elif _size(self._name(".app")) == size:
            # A cut came between its name and the choice; the name was not deserved by itself.
            os.rename(self._name(".app"), self._name(".new"))
        self._at = min(_size(self._name(".new")), size)
        self._finish()

    def _check(self, signed):
        # (version as a number, SHA-256 and size of the application file). Raises Refusal.
        data = signed[: -bundle.SIGNATURE_BYTES]
        try:
            signer, version, was, mpy, size, digest, boards = bundle.unpack(data)
        except ValueError:
            raise Refusal(messages.BAD_UPDATE)
        key = self._signer
        if len(key) != 33 or key[0] != signer:
            raise Refusal(messages.BAD_UPDATE)
        gc.collect()
        # While there is a piece of free memory so large: what follows leaves small ones.
        self._buffer = bytearray(_WRITE_BYTES)
        from . import ed25519

        signature = signed[-bundle.SIGNATURE_BYTES :]
        good = ed25519.verify(key[1:], bundle.LABEL + data, signature, self._feed)
        modules.forget("band.ed25519", "band.sha512")
        if not good:
            raise Refusal(messages.BAD_UPDATE)
        if boards and self._board not in boards:
            raise Refusal(messages.BAD_UPDATE)
        if mpy != getattr(sys.implementation, "_mpy", mpy) & 0xFF:
            # This MicroPython could not import it.
            raise Refusal(messages.BAD_UPDATE)
        number = bundle.number(version)
        newer = version > self._version or was == self._version
        if not newer or number == self._store.get("undone", 0) & 0xFFFFFF:
            raise Refusal(messages.OLD_UPDATE)
        return number, digest, size

    # --- the application file ----------------------------------------------------------------

    def wanted(self):
        # (what, offset) as in WANTED.
        if not self._held:
            return updates.OF_MANIFEST, len(self._coming)
        if self.ready:
            return updates.NOTHING, 0
        return updates.OF_APP, self._at + self._filled

    def piece(self, offset, data):
        # A piece of the application file; what is not wanted is left. Raises OSError.
        if self.wanted() != (updates.OF_APP, offset) or offset + len(data) > self._bytes:
            return
        if self._buffer is None:
            self._buffer = bytearray(_WRITE_BYTES)
        taken = 0
        while taken < len(data):
            count = min(len(data) - taken, _WRITE_BYTES - self._filled)
            self._buffer[self._filled : self._filled + count] = data[taken : taken + count]
            self._filled += count
            taken += count
            if self._filled == _WRITE_BYTES or self._at + self._filled == self._bytes:
                self._write()
        self._finish()

    def _write(self):
        path = self._name(".new")
        filled, self._filled = self._filled, 0
        with open(path, "ab") as f:
            f.write(memoryview(self._buffer)[:filled])  # pyright: ignore[reportArgumentType]
        self._at += filled

    def _finish(self):
        if self._at < self._bytes:
            return
        path = self._name(".new")
        self._buffer = None
        if _size(path) != self._bytes or files.sha256(path, self._feed) != self._digest:
            # What flash or the line did to it: from its begin again.
            _remove(path)
            self._at = 0
            return
        os.rename(path, self._name(".app"))
        number = bundle.number(bundle.unpack(self._held[: -bundle.SIGNATURE_BYTES])[1])
        self._store.put("place", number << 3 | _STARTS << 1 | (self._other == "b"))
        self.ready = True


def _read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:
        return b""


def _size(path):
    try:
        return os.stat(path)[6]
    except OSError:
        return 0


def _remove(path):
    # A file or a directory, if it is there.
    try:
        os.remove(path)
        return
    except OSError:
        pass
    try:
        names = os.listdir(path)
    except OSError:
        return
    for name in names:
        _remove(path + "/" + name)
    os.rmdir(path)


def _give_up(session):
    # The room goes back to the band.
    session.update = None
    modules.forget(*cable.TAKING)


def answer(session, band, payload):
    # One MANIFEST or PIECE. Raises ValueError for one that cannot be read.
    if session.update is None:
        signer = band.store.get_blob("signer") or b""
        running = trial.running()
        session.update = Update(
            band.store, band.board, band.firmware, signer, running, session.feed
        )
    update = session.update
    try:
        if payload[0] == messages.MANIFEST:
            update.manifest(*updates.read_manifest(payload))
        else:
            update.piece(*updates.read_piece(payload))
    except Refusal as refusal:
        reason = refusal.args[0]
        if reason == messages.BAD_UPDATE:
            band.trust.refused(records.REFUSED_UPDATE)
        session.refuse(reason)
    except MemoryError:
        _give_up(session)
        raise
    except OSError:
        _give_up(session)
        session.refuse(messages.FLASH_FAULT)
    else:
        session.send(updates.wanted(*update.wanted()))
