"""Bumble's controller, mended where it is no radio.

Bumble 0.0.236 sends nothing for advertisement types 2 and 3, doubles every report with an
invented scan response, knows no listening window, no units, no RSSI, and changes the random
address under a running advertiser. Here advertising and scanning are kept as stretches of
time, and `radio.hear` tells what a stretch of listening heard.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from bumble import hci
from bumble.controller import Controller

from zoneband.sim.radio import Heard, Segment, mix

_DISALLOWED = hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)
_SUCCESS = hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.SUCCESS)
_UNIT_US = 625
_KEEP_US = 30_000_000
_parsed = lru_cache(4096)(hci.HCI_Packet.from_bytes)  # bands say the same again and again


class BandController(Controller):
    """One band's controller. now_us: the air's time; send: takes HCI event bytes."""

    def __init__(
        self, name: str, seed: int, now_us: Callable[[], int], send: Callable[[bytes], None]
    ) -> None:
        super().__init__(name)
        self._seed = seed
        self._now_us = now_us
        self._send = send
        self._made = 0
        self._scans = 0
        self.segments: list[Segment] = []
        self.scan_from_us: int | None = None
        self.heard_to_us = 0
        self.listened_us = 0
        self.random_address = hci.Address("00:00:00:00:00:00")

    def on_packet(self, packet: bytes) -> None:
        """As Bumble's, without a line of debugging that it makes even if nobody reads it."""
        command = _parsed(packet)
        if isinstance(command, hci.HCI_Command):
            self.on_hci_command_packet(command)
        else:
            self.on_hci_packet(command)

    def send_hci_packet(self, packet: hci.HCI_Packet) -> None:
        """At once, not through an event loop: the band waits for it."""
        self._send(bytes(packet))

    @property
    def advertising(self) -> bool:
        """Whether a segment is running."""
        return bool(self.segments) and self.segments[-1].end_us is None

    @property
    def channel(self) -> int:
        """0, 1 or 2 for channel 37, 38 or 39: each scan takes the next."""
        return self._scans % 3

    def forget(self) -> None:
        """Drop segments that no listening can reach any more."""
        limit = self._now_us() - _KEEP_US
        self.segments = [s for s in self.segments if s.end_us is None or s.end_us > limit]

    def power_off(self) -> None:
        """What a reset of the chip does to the radio."""
        if self.advertising:
            self.segments[-1].end_us = self._now_us()
        self.scan_from_us = None

    def report(self, heard: Heard) -> bytes:
        """The LE Advertising Report event of one PDU."""
        s = heard.segment
        body = bytes((0x02, 1, s.pdu_type, s.address_type)) + s.address
        body += bytes((len(s.data),)) + s.data + bytes((heard.rssi & 0xFF,))
        return bytes((0x04, 0x3E, len(body))) + body

    # --- commands that Bumble answers otherwise ---------------------------------------------

    def on_hci_reset_command(
        self, _command: hci.HCI_Reset_Command
    ) -> hci.HCI_StatusReturnParameters:
        self.power_off()
        return _SUCCESS

    def on_hci_le_set_random_address_command(
        self, command: hci.HCI_LE_Set_Random_Address_Command
    ) -> hci.HCI_StatusReturnParameters:
        if self.advertising or self.scan_from_us is not None:
            return _DISALLOWED
        return super().on_hci_le_set_random_address_command(command)

    def on_hci_le_set_advertising_parameters_command(
        self, command: Any
    ) -> hci.HCI_StatusReturnParameters:
        if self.advertising:
            return _DISALLOWED
        # Bluetooth 4.x controllers refuse less than 100 ms for what cannot be connected to.
        if command.advertising_type in (2, 3) and command.advertising_interval_min < 160:
            return hci.HCI_StatusReturnParameters(
                hci.HCI_ErrorCode.INVALID_COMMAND_PARAMETERS_ERROR
            )
        return super().on_hci_le_set_advertising_parameters_command(command)

    def on_hci_le_set_advertising_enable_command(
        self, command: Any
    ) -> hci.HCI_StatusReturnParameters:
        now = self._now_us()
        if self.advertising:
            self.segments[-1].end_us = now
        if command.advertising_enable:
            self.forget()
            legacy = self.le_legacy_advertiser
            random = legacy.own_address_type != hci.Address.PUBLIC_DEVICE_ADDRESS
            address = self.random_address if random else self.public_address
            self._made += 1
            self.segments.append(
                Segment(
                    mix(self._seed, self.name, self._made),
                    now,
                    legacy.advertising_interval_min * _UNIT_US,
                    int(legacy.advertising_type),
                    1 if random else 0,
                    bytes(address),
                    # HCI sends 31 bytes always; Bumble keeps what the length byte says.
                    bytes(legacy.advertising_data),
                )
            )
        return _SUCCESS

    def on_hci_le_set_scan_enable_command(self, command: Any) -> hci.HCI_StatusReturnParameters:
        now = self._now_us()
        if command.le_scan_enable and self.scan_from_us is None:
            self.scan_from_us = now
            self.heard_to_us = now
            self._scans += 1
        elif not command.le_scan_enable:
            self.scan_from_us = None
        return _SUCCESS

    def windows(self, to_us: int) -> list[tuple[int, int, int]]:
        """(channel, from, to) of the listening since the last call up to to_us."""
        if self.scan_from_us is None:
            return []
        interval = max(1, self.le_scan_interval) * _UNIT_US
        window = max(1, self.le_scan_window) * _UNIT_US
        out: list[tuple[int, int, int]] = []
        n = (self.heard_to_us - self.scan_from_us) // interval
        while True:
            start = self.scan_from_us + n * interval
            if start >= to_us:
                break
            low, high = max(start, self.heard_to_us), min(start + window, to_us)
            if low < high:
                out.append(((self._scans + n) % 3, low, high))
                self.listened_us += high - low
            n += 1
        self.heard_to_us = to_us
        return out
