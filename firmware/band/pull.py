# Streaming a band log to the station in windows, from any cursor.

from wire import messages
from wire.compat import const

from . import logread

_POLL_MS = const(100)
_IDLE_MS = const(10000)


def pull(session, log, payload):
    # Ends when all was sent, the station fell silent, or asks for something else.
    log_id, first, window = messages.read_pull(payload)
    if log_id != log.log_id:
        session.refuse(messages.OTHER_LOG)
        return
    end = log.head
    at = max(first, log.tail)
    buf = bytearray(messages.DATA_SLOTS * 32)
    if at < end:
        for cursor, slots in logread.preamble(log, at):
            _send(session, log, buf, cursor, slots)
    window = max(1, window)
    acked = at
    sent = []  # end cursors of the frames that are on the way
    waited_ms = 0
    while at < end:
        if len(sent) < window:
            # 0: an unreadable place. The host sees the gap in the cursors.
            at += max(1, _send(session, log, buf, at, min(messages.DATA_SLOTS, end - at)))
            sent.append(at)
        full = len(sent) >= window
        message = session.receive(_POLL_MS if full else 0)
        if message is None:
            waited_ms = waited_ms + _POLL_MS if full else 0
            if waited_ms > _IDLE_MS:
                return
            continue
        waited_ms = 0
        if message[0] != messages.ACK:
            session.put_back(message)
            return
        acked = max(acked, messages.read_ack(message))
        while sent and sent[0] <= acked:
            sent.pop(0)
        session.feed()
    session.send(messages.data_end(end))


def _send(session, log, buf, cursor, slots):
    view = memoryview(buf)[: slots * 32]
    n = log.read(cursor, view)
    if n:
        session.send(messages.data(cursor, bytes(view[: n * 32])))
    return n
