"""The radio's ways round an ESP32's traps, one by one."""

import pytest

from band.config import Config
from band.encounters import Encounters
from band.radio import Radio
from wire import bluezone

ID = bytes(range(12))


class Ble:
    """Calls of bluetooth.BLE, with switches for what may go wrong."""

    def __init__(self) -> None:
        self.address = 0
        self.refuse = 0
        self.scan_fails = False
        self.busy = False
        self.is_on = False
        self.nameless = False  # random, and no random address yet
        self.calls: list[str] = []
        self.beacon = b""
        self.handler = lambda event, data: None

    def active(self, on: bool | None = None) -> bool:
        if on is not None:
            self.calls.append("on" if on else "off")
            self.is_on = on
        return self.is_on

    def irq(self, handler) -> None:
        self.handler = handler

    def config(self, *names, **settings):
        if names:
            if self.nameless:
                raise OSError(22)
            return (1, self.address.to_bytes(6, "big"))
        assert settings == {"addr_mode": 3}
        self.calls.append("rotate")
        if self.busy or self.refuse:
            self.refuse = max(0, self.refuse - 1)
            self.nameless = not self.address
            return None  # in silence
        self.nameless = False
        self.address += 1
        return None

    def gap_advertise(self, interval_us, data=None, connectable=True) -> None:
        self.calls.append("advertise" if interval_us else "quiet")
        self.busy = bool(interval_us)
        if interval_us:
            assert not connectable
            self.beacon = bytes(data)

    def gap_scan(self, duration_ms, *rest) -> None:
        if duration_ms is None:
            self.calls.append("deaf")
            self.handler(6, ())  # on the spot
            return
        assert duration_ms > 0 and rest[-1] is False
        if self.scan_fails:
            raise OSError(114)
        self.calls.append("listen")


@pytest.fixture
def ble() -> Ble:
    return Ble()


@pytest.fixture
def radio(ble: Ble) -> Radio:
    return Radio(ble, Config("none"), Encounters(64), lambda: 100)


def test_id_and_address_change_in_one_step(ble: Ble, radio: Radio) -> None:
    for n in range(3):
        assert radio.rotate(bytes([n]) * 12)
        assert ble.beacon == bluezone.beacon(bytes([n]) * 12)
        assert ble.address == n + 1
    # Never while it advertises or scans.
    steps = [c for c in ble.calls if c != "on"]
    assert steps == ["quiet", "deaf", "rotate", "advertise"] * 3


def test_what_is_on_already_is_not_switched_on_again(ble: Ble, radio: Radio) -> None:
    ble.is_on = True
    assert radio.rotate(ID)
    radio.off()
    assert radio.rotate(ID)
    assert [call for call in ble.calls if call in ("on", "off")] == ["off", "on"]


def test_a_refused_rotation_is_tried_again_and_counted(ble: Ble, radio: Radio) -> None:
    ble.refuse = 2
    assert radio.rotate(ID) and radio.advertising
    assert radio.take_counts()[0] == 2


def test_what_stays_refused_leaves_the_band_silent(ble: Ble, radio: Radio) -> None:
    ble.refuse = 6
    for _n in range(2):
        assert not radio.rotate(ID) and not radio.works() and not radio.advertising
        ble.refuse += 3
    ble.refuse = 0
    assert radio.rotate(ID)
    ble.refuse = 99
    assert not radio.rotate(ID)
    assert not radio.advertising and ble.calls[-2:] == ["quiet", "deaf"]


def test_a_handler_that_meets_nonsense_counts_it_and_lives(ble: Ble, radio: Radio) -> None:
    radio.rotate(ID)
    for nonsense in ((), None, (1, 2), (1, b"", 2, -60, None), (1, b"", 2, -60, b"\xff" * 31)):
        ble.handler(5, nonsense)
    ble.handler(5, (1, b"123456", 2, -60, bluezone.beacon(ID)))
    _, errors, _, sightings = radio.take_counts()
    assert sightings == 1 and errors == 4


@pytest.mark.parametrize(("kind", "heard"), [(0, 1), (1, 0), (2, 1), (3, 1), (4, 0)])
def test_only_undirected_advertisements_count(
    ble: Ble, radio: Radio, kind: int, heard: int
) -> None:
    radio.rotate(ID)
    ble.handler(5, (1, b"123456", kind, -60, bluezone.beacon(ID)))
    assert radio.take_counts()[3] == heard


def test_only_a_scan_that_ends_by_itself_vouches_for_the_radio(ble: Ble, radio: Radio) -> None:
    radio.rotate(ID)
    radio.open_window()
    assert not radio.window_over()
    ble.handler(6, ())
    assert radio.window_over()
    radio.open_window()
    radio.stop()
    assert not radio.window_over()


def test_a_scan_that_never_ends_is_counted_and_stopped(ble: Ble, radio: Radio) -> None:
    radio.rotate(ID)
    radio.open_window()
    radio.open_window()
    assert not radio.window_over()
    assert radio.take_counts()[2] == 1


def test_a_scan_that_does_not_start_is_counted_and_tried_at_the_next_window(
    ble: Ble, radio: Radio
) -> None:
    radio.rotate(ID)
    ble.scan_fails = True
    radio.open_window()
    assert not radio.window_over()
    ble.scan_fails = False
    radio.open_window()
    ble.handler(6, ())
    assert radio.window_over()


def test_two_bands_never_stay_in_step(radio: Radio) -> None:
    config = Config("none")
    drawn = [radio.next_delay_ms() for _ in range(2000)]
    rest = config.period_ms - config.window_ms
    assert 3 * rest // 4 - 2 <= min(drawn) and max(drawn) <= 5 * rest // 4 + 2
    assert abs(sum(drawn) / len(drawn) - rest) < rest / 50
    assert len(set(drawn)) > 500
