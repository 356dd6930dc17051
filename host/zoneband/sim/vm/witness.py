"""The ground truth of a band's log: each record as the band has acknowledged it, in a file."""

import binascii

import _air

_open = open  # not the one that a cut limits
_now = None


def watch(kind, truth_path, now_path):
    """kind: the band log's class. A line in truth_path for each record whose slot has read back:
    log id, cursor and 24 bytes in hex; now_path: the virtual time of the last `tick`."""
    global _now
    # Open for good: a file that is emptied and closed, some file systems write out at once.
    _now = _open(now_path, "w")
    truth = _open(truth_path, "a")
    real = kind.append

    def append(self, record):
        record = bytes(record)
        if not real(self, record):
            return False
        place = self.log_id, self.head - 1
        truth.write("%d %d %s\n" % (place + (binascii.hexlify(record).decode(),)))
        tick()
        return True

    kind.append = append


def tick():
    """Keep the time."""
    _now.seek(0)
    _now.write("%020d" % _air.now_us)
