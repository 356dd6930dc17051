# Checking Ed25519 signatures (RFC 8032, PureEdDSA) with MicroPython's own integers. Nothing here
# is secret, so nothing need take a constant time.
#
# A point is (X, Y, Z, T): x = X / Z, y = Y / Z, T = X * Y / Z. To be added often, it is kept as
# (Y - X, Y + X, 2 * d * T, 2 * Z).

from wire.compat import const

from .sha512 import Sha512

_P = (1 << 255) - 19
_L = (1 << 252) + 27742317777372353535851937790883648493
_D = 0x52036CEE2B6FFE738CC740797779E89800700A4D4141D8AB75EB4DCA135978A3
_ROOT_OF_MINUS_1 = 0x2B8324804FC1DF0B2B4D00993DFBD7A72F431806AD2FE478C4EE1B274A0EA0B0
_BASE_X = 0x216936D3CD6E53FEC0A4E231FDD6DC5C692CC7609525A7B2C9562D608F25D51A
_BASE_Y = 0x6666666666666666666666666666666666666666666666666666666666666658
# Bits of a number below L.
_BITS = const(253)


def verify(public_key, message, signature, pause=None):
    # Strict: S below L, A and R in their only encoding, no cofactor. False for anything else.
    # pause: called now and then, to feed a watchdog.
    if len(public_key) != 32 or len(signature) != 64:
        return False
    public_key = bytes(public_key)
    encoded_r = bytes(signature[:32])
    s = bytes(signature[32:])
    if int.from_bytes(s, "little") >= _L:
        return False
    point = _decode(public_key)
    if point is None:
        return False
    digest = Sha512(pause)
    digest.update(encoded_r)
    digest.update(public_key)
    digest.update(message)
    k = int.from_bytes(digest.digest(), "little") % _L
    x, y = point
    minus_a = _P - x, y, 1, (_P - x) * y % _P
    found = _sum_of_products(s, k.to_bytes(32, "little"), minus_a, pause)
    return _encode(found) == encoded_r


def _decode(data):
    # (x, y), or None if there is no such point or its encoding is another's.
    y = int.from_bytes(data, "little")
    odd = y >> 255
    y &= (1 << 255) - 1
    if y >= _P:
        return None
    # x^2 = u / v, and its root without a division.
    u = (y * y - 1) % _P
    v = (y * y * _D + 1) % _P
    cube = v * v * v % _P
    x = pow(u * cube * cube * v % _P, (_P - 5) // 8, _P) * u * cube % _P
    square = x * x * v % _P
    if square != u:
        if square + u != _P:
            return None
        x = x * _ROOT_OF_MINUS_1 % _P
    if not x and odd:
        return None
    if x & 1 != odd:
        x = _P - x
    return x, y


def _encode(point):
    x, y, z, _ = point
    z = pow(z, _P - 2, _P)
    return (y * z % _P | (x * z % _P & 1) << 255).to_bytes(32, "little")


def _kept(point):
    x, y, z, t = point
    return y - x, y + x, 2 * _D * t % _P, 2 * z


def _add(point, kept):
    # add-2008-hwcd-3: right for any two points of this curve.
    p = _P
    x, y, z, t = point
    a = (y - x) * kept[0] % p
    b = (y + x) * kept[1] % p
    c = t * kept[2] % p
    d = z * kept[3] % p
    e = b - a
    f = d - c
    g = d + c
    h = b + a
    return e * f % p, g * h % p, f * g % p, e * h % p


def _double(point):
    # dbl-2008-hwcd, all four signs turned.
    p = _P
    x, y, z, _ = point
    a = x * x % p
    b = y * y % p
    g = a - b
    h = a + b
    e = h - (x + y) * (x + y) % p
    f = 2 * z * z % p + g
    return e * f % p, g * h % p, f * g % p, e * h % p


def _sum_of_products(s, k, point, pause):
    # s * B + k * point, both numbers 32 bytes: one run of doublings for the two (Straus).
    base = _BASE_X, _BASE_Y, 1, _BASE_X * _BASE_Y % _P
    kept = _kept(base)
    sums = (None, kept, _kept(point), _kept(_add(point, kept)))
    total = 0, 1, 1, 0
    for at in range(_BITS - 1, -1, -1):
        total = _double(total)
        byte = at >> 3
        bit = at & 7
        which = s[byte] >> bit & 1 | (k[byte] >> bit & 1) << 1
        if which:
            total = _add(total, sums[which])
        if pause and not at & 15:
            pause()
    return total
