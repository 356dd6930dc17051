# HPKE (RFC 9180), base mode, sealing one short message: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256,
# AES-128-GCM, no associated data.

from wire.compat import const
from wire.mac import hmac_sha256

from .gcm import seal
from .x25519 import BASE, Ladder

# Bits of the ladder a step: a step holds up the radio.
_BITS = const(8)

_KEM = b"KEM\x00\x20"
_SUITE = b"HPKE\x00\x20\x00\x01\x00\x01"


def extract(salt, material):
    # HKDF (RFC 5869).
    return hmac_sha256(salt, material)


def expand(key, info, size):
    made = block = b""
    number = 0
    while len(made) < size:
        number += 1
        block = hmac_sha256(key, block + info + bytes((number,)))
        made += block
    return made[:size]


def _labeled_extract(suite, salt, label, material):
    return extract(salt, b"HPKE-v1" + suite + label + material)


def _labeled_expand(suite, key, label, info, size):
    return expand(key, size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info, size)


def shared_secret(product, enc, public_key):
    # What both ends have from the Diffie-Hellman product (32 bytes).
    key = _labeled_extract(_KEM, b"", b"eae_prk", product)
    return _labeled_expand(_KEM, key, b"shared_secret", enc + public_key, 32)


def key_schedule(shared, info):
    # (AES key, nonce) of the first message.
    context = b"\x00" + _labeled_extract(_SUITE, b"", b"psk_id_hash", b"")
    context += _labeled_extract(_SUITE, b"", b"info_hash", info)
    secret = _labeled_extract(_SUITE, shared, b"secret", b"")
    return (
        _labeled_expand(_SUITE, secret, b"key", context, 16),
        _labeled_expand(_SUITE, secret, b"base_nonce", context, 12),
    )


class Sealer:
    def __init__(self, public_key, info, plaintext, ephemeral_private):
        # ephemeral_private: 32 random bytes, for this seal alone.
        self._public = bytes(public_key)
        self._info = info
        self._plaintext = plaintext
        self._private = ephemeral_private
        self._ladder = None
        self._enc = self._shared = self._keys = None
        self.sealed = None  # enc, ciphertext, tag

    def step(self):
        # A bounded piece of work; True when it is sealed. ValueError for a public key of low order.
        if self.sealed is not None:
            return True
        if self._enc is None:
            self._enc = self._multiply(BASE)
        elif self._shared is None:
            product = self._multiply(self._public)
            if product is not None:
                self._shared = shared_secret(product, self._enc, self._public)
        elif self._keys is None:
            self._keys = key_schedule(self._shared, self._info)
        else:
            key, nonce = self._keys
            self.sealed = self._enc + seal(key, nonce, self._plaintext)
            self._plaintext = self._private = self._shared = self._keys = None
            return True
        return False

    def _multiply(self, point):
        if self._ladder is None:
            self._ladder = Ladder(self._private, point)
        if not self._ladder.step(_BITS):
            return None
        product = self._ladder.result
        self._ladder = None
        return product
