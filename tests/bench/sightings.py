"""What one sighting costs in the VM."""

from bench.rows import rows

_CODE = """
import gc, micropython, time
from band.config import Config
from band.encounters import Encounters
from band.radio import Radio
from wire import bluezone

class Ble:
    def irq(self, handler): self.handler = handler
    def active(self, on=True): return True

ble, table = Ble(), Encounters(256)
radio = Radio(ble, Config("none"), table, lambda: 1234)
radio.start()
reports = []
for n in range(50):
    data = memoryview(bluezone.beacon(bytes([n]) * 12))
    reports.append((1, memoryview(b"123456"), 2, -61, data))
gc.collect()
gc.disable()
r = None
used = 0
before = gc.mem_alloc()
micropython.heap_lock()
for r in reports:
    ble.handler(5, r)
micropython.heap_unlock()
used = gc.mem_alloc() - before
gc.enable()
table.drain()
t = time.ticks_us()
for _ in range(200):
    for r in reports:
        ble.handler(5, r)
    table.drain()
us = time.ticks_diff(time.ticks_us(), t)
assert radio.handler_errors == 0 and radio.sightings == 10050
print(10000 * 1000000 / us, used / 50)
"""


@rows(
    ("sightings_per_s", "1/s", None, None),
    ("heap_bytes_per_sighting", "bytes", "<=", 0),
)
def sightings() -> dict[str, float]:
    """Handler and table together, per second; heap bytes that the handler takes."""
    from support import run_in_vm

    speed, used = map(float, run_in_vm(_CODE).split())
    return {"sightings_per_s": speed, "heap_bytes_per_sighting": used}
