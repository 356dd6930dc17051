"""A serial port that speaks frames.

Opening a port may pull a board's EN pin: the two control lines are left as the system puts
them (both on: no reset through the usual two transistors), and hang-up-on-close is cleared so
that closing moves neither. A reset is survived: HELLO is repeated until the band answers.
"""

import contextlib
import errno
import termios
import time
from collections import deque
from collections.abc import Generator
from typing import Any

import serial

from zoneband.wire import frames

# Every band listens at this speed until a session agrees on another.
REPL_BAUD = 115200
_LOCK_S = 0.5


class LinkLost(Exception):
    """The cable or the band is gone."""


def _open(port: str, baud: int) -> Any:
    # pyserial's port, opened so that the board goes on running where that is possible. A process
    # that another thread starts just now may hold an earlier lock for a moment longer.
    patience = time.monotonic() + _LOCK_S
    # pyserial's RFC 2217 knows no time limit for writing.
    limits: dict[str, Any] = {} if port.startswith("rfc2217://") else {"write_timeout": 5}
    while True:
        try:
            line = serial.serial_for_url(port, baud, timeout=0.1, exclusive=True, **limits)
            break
        except (serial.SerialException, OSError, ValueError) as error:
            if getattr(error, "errno", None) != errno.EAGAIN or time.monotonic() > patience:
                raise LinkLost(str(error)) from error
            time.sleep(0.02)
    fd = getattr(line, "fd", None)
    if isinstance(fd, int):
        with contextlib.suppress(termios.error):
            attrs = termios.tcgetattr(fd)
            attrs[2] &= ~termios.HUPCL
            termios.tcsetattr(fd, termios.TCSANOW, attrs)
    return line


def _close(line: Any) -> None:
    # Without moving the control lines into the reset state: RTS off, then DTR.
    with contextlib.suppress(serial.SerialException, OSError, termios.error):
        line.rts = False
        line.dtr = False
    with contextlib.suppress(serial.SerialException, OSError, termios.error):
        line.close()


@contextlib.contextmanager
def open_port(port: str, baud: int = REPL_BAUD) -> Generator[Any]:
    """pyserial's port for bytes that are no frames. Raises LinkLost."""
    line = _open(port, baud)
    try:
        yield line
    except (serial.SerialException, OSError, termios.error) as error:
        raise LinkLost(str(error)) from error
    finally:
        _close(line)


class Link:
    """One open port. Raises LinkLost when it cannot be opened, read or written."""

    def __init__(self, port: str, baud: int = REPL_BAUD) -> None:
        self._serial = _open(port, baud)
        self._decoder = frames.Decoder()
        self._waiting: deque[bytes] = deque()

    @property
    def damaged(self) -> int:
        """Frames that came broken, or noise that looked like one."""
        return self._decoder.damaged

    def send(self, frame: bytes) -> None:
        """Write one frame."""
        try:
            self._serial.write(frame)
            self._serial.flush()
        except (serial.SerialException, OSError, termios.error) as error:
            raise LinkLost(str(error)) from error

    def receive(self, timeout_s: float) -> bytes | None:
        """Next whole payload, or None when none comes in time."""
        deadline = time.monotonic() + timeout_s
        while True:
            if self._waiting:
                return self._waiting.popleft()
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            try:
                self._serial.timeout = min(left, 0.1)
                data = self._serial.read(max(1, self._serial.in_waiting))
            except (serial.SerialException, OSError, termios.error, TypeError) as error:
                raise LinkLost(str(error)) from error
            if data:
                self._waiting.extend(self._decoder.feed(data))

    def set_baud(self, baud: int) -> None:
        """Go on at another speed; what is in the buffers at the old one is dropped."""
        try:
            self._serial.flush()
            self._serial.baudrate = baud
            self._serial.reset_input_buffer()
        except (serial.SerialException, OSError, termios.error) as error:
            raise LinkLost(str(error)) from error
        self._decoder = frames.Decoder()
        self._waiting.clear()

    def close(self) -> None:
        """Close the port; the board goes on running where that is possible."""
        _close(self._serial)
