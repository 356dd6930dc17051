# X25519 (RFC 7748) with MicroPython's own integers, cut into steps that yield to the radio.
#
# Integers of any length are not constant in time, so the ladder only does the same operations in
# the same order whatever the scalar: a bit says which of two places is read and written, never
# what is done. A band's scalars serve for one seal each.

from wire.compat import const

BASE = b"\x09" + bytes(31)

_P = (1 << 255) - 19
_BITS = const(255)
# Bits of the inversion that cost about as much as one of the ladder.
_INVERSE = const(3)


class Ladder:
    def __init__(self, scalar, u):
        if len(scalar) != 32 or len(u) != 32:
            raise ValueError("32 bytes")
        key = bytearray(scalar)
        key[0] &= 248
        key[31] = key[31] & 127 | 64
        self._key = key  # as bytes: a bit of a long integer costs a new one
        point = bytearray(u)
        point[31] &= 127
        self._u = int.from_bytes(point, "little")
        # Two points as X : Z, no sum yet and `u`; always one `u` apart.
        self._x = [1, self._u]
        self._z = [0, 1]
        self._left = _BITS
        self._climbed = False
        self._power = 1  # of Z, on the way to its inverse
        self.result = None

    def step(self, bits):
        # That many bits of the ladder, or work that takes as long; True when the result is there.
        if self.result is None:
            if self._climbed:
                self._divide(bits * _INVERSE)
            else:
                self._climb(bits)
        return self.result is not None

    def _climb(self, bits):
        p = _P
        u = self._u
        xs = self._x
        zs = self._z
        key = self._key
        stop = max(0, self._left - bits)
        for at in range(self._left - 1, stop - 1, -1):
            bit = key[at >> 3] >> (at & 7) & 1
            x = xs[bit]
            z = zs[bit]
            plus = x + z
            minus = x - z
            x = xs[1 - bit]
            z = zs[1 - bit]
            across = (x - z) * plus % p
            back = (x + z) * minus % p
            x = across + back
            xs[1 - bit] = x * x % p
            x = across - back
            zs[1 - bit] = x * x * u % p
            plus = plus * plus % p
            minus = minus * minus % p
            xs[bit] = plus * minus % p
            minus = plus - minus
            zs[bit] = (plus + 121665 * minus) * minus % p
        self._left = stop
        if not stop:
            self._left = _BITS
            self._climbed = True

    def _divide(self, bits):
        # Z to the power P - 2, its inverse, from the exponent's top.
        bits = min(bits, self._left)
        self._left -= bits
        digit = (_P - 2) >> self._left & ((1 << bits) - 1)
        power = pow(self._power, 1 << bits, _P) * pow(self._z[0], digit, _P) % _P
        self._power = power
        if not self._left:
            number = self._x[0] * power % _P
            if not number:
                raise ValueError("low order")
            self.result = number.to_bytes(32, "little")
