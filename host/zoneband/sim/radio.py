"""What one receiver hears in one stretch of time: positions, path loss, channels, collisions.

All draws follow from (seed, receiver, moment): the same run gives the same sightings on any
machine at any speed. The model is a model: log-distance path loss, body shadowing that drifts
by the minute, Gaussian fading per packet. No reflections, no walls, no antenna pattern.
"""

import math
import zlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.int64]

RSSI_1M_DBM = -59.0
PATH_EXPONENT = 2.2
SHADOW_MAX_DB = 12.0
SHADOW_STEP_US = 60_000_000
FADING_DB = 4.0
SENSITIVITY_DBM = -94.0
CAPTURE_DB = 8.0
PDU_US = 312  # 39 bytes at 1 Mbit/s: preamble, access address, header, address, 23 bytes, CRC
CHANNEL_US = 400  # from one channel's PDU to the next of the same event
ADV_DELAY_US = 10_000  # random part of each advertising interval (Core spec Vol 6 B 4.4.2.2)
_CHUNK = 4096


@dataclass
class Segment:
    """One stretch of advertising with one payload and one address; times in microseconds."""

    key: int
    start_us: int
    interval_us: int
    pdu_type: int
    address_type: int
    address: bytes  # little-endian, as in HCI
    data: bytes
    end_us: int | None = None
    _times: Times = field(default_factory=lambda: np.empty(0, np.int64))
    _chunks: int = 0

    def events(self, from_us: int, to_us: int) -> Times:
        """Starts of the advertising events in [from_us, to_us)."""
        if self.end_us is not None:
            to_us = min(to_us, self.end_us)
        while not len(self._times) or self._times[-1] < to_us:
            rng = np.random.Generator(np.random.Philox(key=[self.key, self._chunks]))
            steps = self.interval_us + rng.integers(0, ADV_DELAY_US, _CHUNK, dtype=np.int64)
            last = self._times[-1] if len(self._times) else np.int64(self.start_us)
            self._times = np.concatenate([self._times, last + np.cumsum(steps)])
            self._chunks += 1
        low, high = np.searchsorted(self._times, [from_us, to_us])
        return self._times[low:high]


def mix(*parts: Any) -> int:
    """A 64-bit key from some parts; the same on every machine."""
    text = repr(parts).encode()
    return zlib.crc32(text) | zlib.crc32(text, 0x5A17) << 32


def shadow_db(seed: int, sender: int, receiver: int, at_us: int) -> float:
    """Loss in the bodies between two bands, drifting between values drawn for each minute."""
    step, rest = divmod(at_us, SHADOW_STEP_US)
    share = rest / SHADOW_STEP_US
    before = _drawn_db(seed, sender, receiver, step)
    return before * (1 - share) + _drawn_db(seed, sender, receiver, step + 1) * share


@lru_cache(1 << 16)
def _drawn_db(seed: int, sender: int, receiver: int, step: int) -> float:
    return SHADOW_MAX_DB * (mix(seed, "shadow", sender, receiver, step) % 10_007) / 10_006


def in_reach(metres: float) -> bool:
    """Whether anything at all may be heard at a distance."""
    return mean_rssi(metres) + 4 * FADING_DB >= SENSITIVITY_DBM


def mean_rssi(metres: float) -> float:
    """dBm at a distance in free space, without bodies."""
    return RSSI_1M_DBM - 10 * PATH_EXPONENT * math.log10(max(metres, 0.1))


@dataclass(frozen=True)
class Heard:
    """One PDU that a receiver decoded."""

    at_us: int
    segment: Segment
    rssi: int


def hear(
    seed: int,
    receiver: int,
    channel: int,
    from_us: int,
    to_us: int,
    senders: list[tuple[int, float, list[Segment]]],
    loss: float,
) -> list[Heard]:
    """PDUs heard on one channel in [from_us, to_us), in order of time.

    senders: (index, metres, segments) of everybody else in reach; loss: share of packets lost for
    reasons that are not modelled (0..1)."""
    times: list[Times] = []
    levels: list[npt.NDArray[np.float64]] = []
    owners: list[Segment] = []
    counts: list[int] = []
    rng = np.random.Generator(np.random.Philox(key=[mix(seed, receiver), from_us]))
    for index, metres, segments in senders:
        mean = mean_rssi(metres) - shadow_db(seed, index, receiver, from_us)
        for segment in segments:
            shift = channel * CHANNEL_US
            found = segment.events(from_us - shift, to_us - shift - PDU_US) + shift
            if len(found):
                times.append(found)
                levels.append(mean + rng.normal(0, FADING_DB, len(found)))
                owners.append(segment)
                counts.append(len(found))
    if not times:
        return []
    at = np.concatenate(times)
    level = np.concatenate(levels)
    owner = np.repeat(np.arange(len(owners)), counts)
    lost = rng.random(len(at)) < loss
    order = np.argsort(at, kind="stable")
    at, level, owner, lost = at[order], level[order], owner[order], lost[order]
    good = (level >= SENSITIVITY_DBM) & ~lost
    if len(at) > 1:
        clash = np.diff(at) < PDU_US
        stronger = np.diff(level)
        good[:-1] &= ~(clash & (stronger > -CAPTURE_DB))
        good[1:] &= ~(clash & (stronger < CAPTURE_DB))
    return [
        Heard(int(at[i]), owners[owner[i]], max(-127, min(20, round(float(level[i])))))
        for i in np.flatnonzero(good)
    ]
