"""What sealing a secret and checking an update cost in the VM."""

import json
import tempfile
from pathlib import Path
from statistics import median

from bench.rows import rows

# Whole seals with a band's heap, each step timed; then one without collections, to count what
# they would have to collect.
_SEAL = """
import gc, json, time
from band.hpke import Sealer

def sealer():
    return Sealer(bytes(range(1, 33)), bytes(64), bytes(32), bytes(range(32)))

runs = []
for _ in range(9):
    gc.collect()
    now = sealer()
    begun = time.ticks_us()
    longest = 0
    done = False
    while not done:
        before = time.ticks_us()
        done = now.step()
        longest = max(longest, time.ticks_diff(time.ticks_us(), before))
    runs.append((time.ticks_diff(time.ticks_us(), begun), longest))
print(json.dumps(runs))
"""
_GARBAGE = """
gc.collect()
gc.disable()
used = gc.mem_alloc()
now = sealer()
while not now.step():
    pass
print(gc.mem_alloc() - used)
"""
# An update: its manifest's signature, and the sum of what it brings, read as from a file system.
_VERIFY = """
import gc, hashlib, json, time
from band.ed25519 import verify
public, signature, path = json.loads(%r)
public, signature = bytes.fromhex(public), bytes.fromhex(signature)
manifest = bytes(2048)
buf = bytearray(512)
view = memoryview(buf)
runs = []
for _ in range(5):
    gc.collect()
    begun = time.ticks_us()
    good = verify(public, manifest, signature)
    total = hashlib.sha256()
    with open(path, "rb") as file:
        while True:
            size = file.readinto(buf)
            if not size:
                break
            total.update(view[:size])
    digest = total.digest()
    runs.append(time.ticks_diff(time.ticks_us(), begun))
    assert good
print(json.dumps(runs))
"""


@rows(
    ("seal_group_ms", "ms", None, None),
    ("radio_stall_ms", "ms", None, None),
    ("seal_group_garbage_kb", "KB", None, None),
)
def seal_group() -> dict[str, float]:
    """A key group's secret, sealed: the time in all, of the longest step, and the heap used up."""
    from support import run_in_vm

    runs = json.loads(run_in_vm(_SEAL))
    garbage = run_in_vm(_SEAL + _GARBAGE, heap="1000wK").split("\n")[1]
    return {
        "seal_group_ms": median(run[0] for run in runs) / 1000,
        "radio_stall_ms": median(run[1] for run in runs) / 1000,
        "seal_group_garbage_kb": int(garbage) / 1000,
    }


@rows(("verify_update_ms", "ms", None, None))
def verify_update() -> dict[str, float]:
    """Ed25519 over a manifest of 2,048 bytes, SHA-256 over 100 KB in pieces of 512 bytes."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from support import run_in_vm

    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "update"
        path.write_bytes(bytes(100_000))
        public = key.public_key().public_bytes_raw().hex()
        case = json.dumps([public, key.sign(bytes(2048)).hex(), str(path)])
        runs = json.loads(run_in_vm(_VERIFY % case))
    return {"verify_update_ms": median(runs) / 1000}


# Records as a band writes them, each sealed under a secret of its own.
_SLOTS = """
import gc, time
from band.seal import Seal
seal = Seal("ZB-0000-0000", b"\\x01" + bytes(range(1, 33)), bytes(32))
seal.resume(bytes(32))
record = bytes(24)
runs = []
for _ in range(9):
    gc.collect()
    begun = time.ticks_us()
    for slot in range(124):
        seal.slot(7, 1, slot, record)
    runs.append(time.ticks_diff(time.ticks_us(), begun) / 124)
print(sorted(runs)[4])
"""


@rows(("seal_slot_us", "µs", None, None))
def seal_slot() -> dict[str, float]:
    """Hiding and signing one record of 24 bytes in the VM: median of nine sectors."""
    from support import run_in_vm

    return {"seal_slot_us": float(run_in_vm(_SLOTS))}
