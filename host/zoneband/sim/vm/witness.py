"""The ground truth of a band's log: each record as the band has acknowledged it, in a file."""

import binascii

import _air

_open = open  # not the one that a cut limits
_now_path = ""


def watch(kind, truth_path, now_path):
    """kind: the band log's class. A line in truth_path for each record whose slot has read back:
    log id, cursor and 24 bytes in hex; now_path: the virtual time of the last `tick`."""
    global _now_path
    _now_path = now_path
    real = kind.append

    def append(self, record):
        record = bytes(record)
        if not real(self, record):
            return False
        with _open(truth_path, "a") as f:
            place = self.log_id, self.head - 1
            f.write("%d %d %s\n" % (place + (binascii.hexlify(record).decode(),)))
        tick()
        return True

    kind.append = append


def tick():
    """Keep the time."""
    with _open(_now_path, "w") as f:
        f.write(str(_air.now_us))
