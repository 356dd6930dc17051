# What the wearer and the staff see and feel. Patterns are (on ms, off ms, times); the whole
# of one is below a second, since the band does nothing else meanwhile.

from wire import status

_DONE = (120, 80, 3)
_ERROR = (500, 100, 1)
_DOCK_ME = (40, 160, 2)


class Cues:
    def __init__(self, board, sleep_ms):
        self._board = board
        self._sleep_ms = sleep_ms
        self.shown = 0

    def show(self, kind):
        # Kinds of wire.messages; a kind this firmware does not know is shown as an error.
        self._play(_DONE if kind == status.CUE_DONE else _ERROR, True)
        self.shown = kind

    def dock_me(self):
        self._play(_DOCK_ME, False)

    def _play(self, pattern, feel):
        on_ms, off_ms, times = pattern
        for _ in range(times):
            self._board.light(True)
            self._board.buzz(feel)
            self._sleep_ms(on_ms)
            self._board.light(False)
            self._board.buzz(False)
            self._sleep_ms(off_ms)
