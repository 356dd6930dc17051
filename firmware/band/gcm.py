# AES-128-GCM (NIST SP 800-38D), encryption only, for short messages: MicroPython's cryptolib has
# AES on single blocks alone.

import cryptolib

_ECB = 1
_LOW = (1 << 128) - 1


def seal(key, nonce, plaintext, aad=b""):
    # Ciphertext and tag (16 bytes); nonce: 12 bytes.
    cipher = cryptolib.aes(key, _ECB)
    blocks = (len(plaintext) + 15) // 16
    counters = b""
    for number in range(1, blocks + 2):
        counters += nonce + number.to_bytes(4, "big")
    # One call for the hash key and every counter.
    made = cipher.encrypt(bytes(16) + counters)
    size = len(plaintext)
    hidden = int.from_bytes(plaintext, "big") ^ int.from_bytes(made[32 : 32 + size], "big")
    hidden = hidden.to_bytes(size, "big")
    ends = (len(aad) * 8).to_bytes(8, "big") + (size * 8).to_bytes(8, "big")
    total = _ghash(made[:16], _padded(aad) + _padded(hidden) + ends)
    return hidden + (total ^ int.from_bytes(made[16:32], "big")).to_bytes(16, "big")


def _padded(data):
    return data + bytes(-len(data) % 16)


def _ghash(hash_key, data):
    # In GCM a block's first bit is the lowest power. A product without carries is the same read
    # from either end, so blocks are multiplied as they stand and stand one bit too low after it.
    h = int.from_bytes(hash_key, "big")
    times = [0, h]
    for n in range(2, 16, 2):
        even = times[n // 2] << 1
        times.append(even)
        times.append(even ^ h)
    total = 0
    for at in range(0, len(data), 16):
        total ^= int.from_bytes(data[at : at + 16], "big")
        product = 0
        for byte in total.to_bytes(16, "big"):
            product = (product << 4 ^ times[byte >> 4]) << 4 ^ times[byte & 15]
        product <<= 1
        # x^128 = 1 + x + x^2 + x^7; what that pushes over the end comes round once more.
        for _ in range(2):
            over = product & _LOW
            product ^= over << 128 ^ over << 127 ^ over << 126 ^ over << 121 ^ over
        total = product >> 128
    return total
