"""A band's cryptography gives what the standards' own examples and another library give."""

import hashlib
import json
import random
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from support import run_in_vm

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)
# The u coordinates of the curve's and its twist's points of low order (RFC 7748, section 7).
LOW_ORDER = (
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    P - 1,
    P,
    P + 1,
)


def in_vm(code: str, cases: list[Any]) -> list[Any]:
    """What `answer(*case)` of the code gives for each case, all in one VM. Bytes go in and come
    back as hexadecimal digits."""
    frame = """
import json
f = bytes.fromhex
%s
for case in json.loads(%r):
    made = answer(*case)
    print(json.dumps(made.hex() if isinstance(made, bytes) else made))
"""
    return [
        json.loads(line)
        for line in run_in_vm(frame % (code, json.dumps(cases)), "64wK").split("\n")
        if line
    ]


def little(number: int) -> bytes:
    return number.to_bytes(32, "little")


def public(key: X25519PrivateKey | Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


X25519 = """
from band.x25519 import BASE, Ladder
def x25519(scalar, u, bits=8):
    ladder = Ladder(scalar, u)
    while not ladder.step(bits):
        assert ladder.result is None
    assert ladder.step(bits)
    return ladder.result
"""


def test_x25519_is_rfc_7748s() -> None:
    alice = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"
    bob = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"
    alices = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
    bobs = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
    shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
    base = little(9).hex()
    cases = [
        # Section 5.2
        (
            "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
            "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
        ),
        (
            "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
            "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
        ),
        # Section 6.1
        (alice, base, alices),
        (bob, base, bobs),
        (alice, bobs, shared),
        (bob, alices, shared),
    ]
    code = X25519 + "def answer(scalar, u): return x25519(f(scalar), f(u))"
    made = in_vm(code, [case[:2] for case in cases])
    assert made == [case[2] for case in cases]


def test_x25519_is_rfc_7748s_after_a_thousand_rounds() -> None:
    code = (
        X25519
        + """
def answer(rounds):
    k = u = BASE
    for _ in range(rounds):
        k, u = x25519(k, u, 255), k
    return k
"""
    )
    assert in_vm(code, [[1], [1000]]) == [
        "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079",
        "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51",
    ]


def test_x25519_in_steps_of_any_size_is_the_other_librarys() -> None:
    made = random.Random(7748)
    cases: list[tuple[str, str, int]] = []
    expected: list[str] = []
    points = [made.randbytes(32) for _ in range(20)]
    # The top bit is to be ignored, and u is to be taken modulo P.
    points += [little(n | 1 << 255) for n in (2, 9, P - 2)] + [little(P + n) for n in range(2, 19)]
    for point in points:
        scalar = made.randbytes(32)
        key = X25519PrivateKey.from_private_bytes(scalar)
        expected.append(key.exchange(X25519PublicKey.from_public_bytes(point)).hex())
        cases.append((scalar.hex(), point.hex(), made.choice((1, 7, 8, 64, 254, 255, 1000))))
    code = X25519 + "def answer(scalar, u, bits): return x25519(f(scalar), f(u), bits)"
    assert in_vm(code, cases) == expected


def test_x25519_refuses_points_of_low_order_each_time_it_is_asked() -> None:
    code = """
from band.hpke import Sealer
from band.x25519 import Ladder
def refused(worker, *args):
    for _ in range(200):
        try:
            assert not worker.step(*args)
        except ValueError:
            break
    else:
        return False
    try:
        return worker.step(*args) and False
    except ValueError:
        return True
def answer(u):
    u = f(u)
    return refused(Ladder(bytes(range(32)), u), 8) and refused(Sealer(u, b"", bytes(32), bytes(32)))
"""
    assert in_vm(code, [[little(u).hex()] for u in LOW_ORDER]) == [True] * len(LOW_ORDER)


def test_a_ladder_takes_keys_of_32_bytes_only() -> None:
    code = """
from band.x25519 import Ladder
def answer(scalar, u):
    try:
        Ladder(bytes(scalar), bytes(u))
    except ValueError:
        return True
"""
    assert in_vm(code, [(31, 32), (32, 33), (32, 0), (32, 32)]) == [True, True, True, None]


def test_hmac_is_rfc_4231s() -> None:
    cases = [
        (
            "0b" * 20,
            b"Hi There".hex(),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            b"Jefe".hex(),
            b"what do ya want for nothing?".hex(),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            "aa" * 20,
            "dd" * 50,
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
        ),
        (
            bytes(range(1, 26)).hex(),
            "cd" * 50,
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
        ),
        # Case 5 is given cut to 128 bits.
        ("0c" * 20, b"Test With Truncation".hex(), "a3b6167473100ee06e0c796c2955552b"),
    ]
    code = """
from wire.mac import hmac_sha256
def answer(key, message, size): return hmac_sha256(f(key), f(message))[:size]
"""
    made = in_vm(code, [(key, message, len(mac) // 2) for key, message, mac in cases])
    assert made == [mac for _, _, mac in cases]


def test_hkdf_is_rfc_5869s() -> None:
    # HMAC hashes a salt of more than 64 bytes (case 2); the band's takes none so long.
    salt = hashlib.sha256(bytes(range(0x60, 0xB0))).hexdigest()
    cases = [
        (bytes(range(13)).hex(), "0b" * 22, bytes(range(0xF0, 0xFA)).hex(), 42),
        (salt, bytes(range(80)).hex(), bytes(range(0xB0, 0x100)).hex(), 82),
        ("", "0b" * 22, "", 42),
    ]
    code = """
from band.hpke import expand, extract
def answer(salt, material, info, size):
    key = extract(f(salt), f(material))
    return [key.hex(), expand(key, f(info), size).hex()]
"""
    assert in_vm(code, cases) == [
        [
            "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ],
        [
            "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c6"
            "5e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
        ],
        [
            "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ],
    ]


GCM = """
from band.gcm import seal
def answer(key, nonce, plaintext, aad): return seal(f(key), f(nonce), f(plaintext), f(aad))
"""


def test_gcm_is_its_specifications() -> None:
    key, nonce = "feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888"
    plaintext = (
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255"
    )
    ciphertext = (
        "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
        "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985"
    )
    # McGrew and Viega, test cases 1 to 4.
    cases = [
        ("00" * 16, "00" * 12, "", "", "58e2fccefa7e3061367f1d57a4e7455a"),
        (
            "00" * 16,
            "00" * 12,
            "00" * 16,
            "",
            "0388dace60b6a392f328c2b971b2fe78ab6e47d42cec13bdf53a67b21257bddf",
        ),
        (key, nonce, plaintext, "", ciphertext + "4d5c2af327cd64a62cf35abd2ba6fab4"),
        (
            key,
            nonce,
            plaintext[:120],
            "feedfacedeadbeeffeedfacedeadbeefabaddad2",
            ciphertext[:120] + "5bc94fbc3221a5db94fae95ae7121a47",
        ),
    ]
    assert in_vm(GCM, [case[:4] for case in cases]) == [case[4] for case in cases]


def test_gcm_of_any_length_is_the_other_librarys() -> None:
    made = random.Random(38)
    cases: list[list[str]] = []
    expected: list[str] = []
    for size in range(65):
        key, nonce = made.randbytes(16), made.randbytes(12)
        plaintext, aad = made.randbytes(size), made.randbytes(made.choice((0, 0, 7, 16, 33)))
        expected.append(AESGCM(key).encrypt(nonce, plaintext, aad).hex())
        cases.append([part.hex() for part in (key, nonce, plaintext, aad)])
    assert in_vm(GCM, cases) == expected


SEALER = """
from band import gcm, hpke
def sealer_of(public, info, plaintext, private):
    sealer = hpke.Sealer(f(public), f(info), f(plaintext), f(private))
    steps = 1
    while not sealer.step():
        assert sealer.sealed is None
        steps += 1
    assert sealer.step()
    return sealer, steps
"""


def test_hpke_is_rfc_9180s() -> None:
    # Appendix A.1.1; its first message has associated data, which a Sealer has not.
    private = "52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736"
    public_key = "3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d"
    info = "4f6465206f6e2061204772656369616e2055726e"
    plaintext = b"Beauty is truth, truth beauty".hex()
    code = (
        SEALER
        + """
from band.x25519 import Ladder
def answer(public, info, plaintext, private):
    enc = sealer_of(public, info, plaintext, private)[0].sealed[:32]
    ladder = Ladder(f(private), f(public))
    while not ladder.step(8):
        pass
    shared = hpke.shared_secret(ladder.result, enc, f(public))
    key, nonce = hpke.key_schedule(shared, f(info))
    sealed = gcm.seal(key, nonce, f(plaintext), b"Count-0")
    return [part.hex() for part in (enc, shared, key, nonce, sealed)]
"""
    )
    assert in_vm(code, [(public_key, info, plaintext, private)]) == [
        [
            "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431",
            "fe0e18c9f024ce43799ae393c7e8fe8fce9d218875e8227b0187c04e7d2ea1fc",
            "4531685d41d65f03dc48f6b8302c05b0",
            "56d890e5accaaf011cff4b7d",
            "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a9"
            "6d8770ac83d07bea87e13c512a",
        ]
    ]


def test_what_a_band_seals_only_the_right_key_and_info_open() -> None:
    made = random.Random(9180)
    keys = [X25519PrivateKey.from_private_bytes(made.randbytes(32)) for _ in range(12)]
    infos = [made.randbytes(size) for size in (0, 1, 28, 44, 59, 60, 63, 64, 70, 99, 128, 200)]
    plaintexts = [made.randbytes(size) for size in [32] * 9 + [0, 1, 64]]
    cases = [
        (public(key).hex(), info.hex(), plaintext.hex(), made.randbytes(32).hex())
        for key, info, plaintext in zip(keys, infos, plaintexts, strict=True)
    ]
    code = SEALER + "def answer(*case): return sealer_of(*case)[0].sealed"
    sealed = [bytes.fromhex(each) for each in in_vm(code, cases)]
    for n, key in enumerate(keys):
        assert len(sealed[n]) == len(plaintexts[n]) + 48
        assert SUITE.decrypt(sealed[n], key, info=infos[n]) == plaintexts[n]
        with pytest.raises(InvalidTag):
            SUITE.decrypt(sealed[n], key, info=infos[n] + b"x")
        with pytest.raises(InvalidTag):
            SUITE.decrypt(sealed[n], keys[n - 1], info=infos[n])


def test_sealing_is_cut_into_the_same_small_steps_whatever_the_key() -> None:
    # 8 bits of 255 a step, twice, and what comes after them.
    made = random.Random(88)
    keys = [bytes(32), b"\xff" * 32, made.randbytes(32)]
    code = SEALER + "def answer(*case): return sealer_of(*case)[1]"
    cases = [(little(9).hex(), "", "00" * 32, key.hex()) for key in keys]
    steps = in_vm(code, cases)
    assert len(set(steps)) == 1
    assert 2 * 32 < steps[0] < 100


SHA512 = "from band.sha512 import Sha512\n"


def test_sha512_is_fips_180s() -> None:
    code = (
        SHA512
        + """
def answer(text, times):
    h = Sha512()
    for _ in range(times):
        h.update(text.encode())
    return h.digest()
"""
    )
    long = (
        "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
        "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu"
    )
    assert in_vm(code, [("abc", 1), (long, 1), ("", 1), ("a" * 1000, 10)]) == [
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        "8e959b75dae313da8cf4f72814fc143f8f7779c6eb9f7fa17299aeadb6889018"
        "501d289e4900f7e4331b99dec4b5433ac7d329eeb6dd26545e96e55b874be909",
        hashlib.sha512().hexdigest(),
        hashlib.sha512(b"a" * 10000).hexdigest(),
    ]


def test_sha512_of_any_length_in_any_pieces_is_the_other_librarys() -> None:
    made = random.Random(512)
    code = (
        SHA512
        + """
def answer(data, cuts):
    data = memoryview(f(data))
    h = Sha512()
    at = 0
    for cut in cuts:
        h.update(data[at:cut])
        at = cut
    h.update(data[at:])
    return h.digest()
"""
    )
    cases: list[tuple[str, list[int]]] = []
    expected: list[str] = []
    for size in range(0, 262):
        data = made.randbytes(size)
        cuts = sorted(made.randint(0, size) for _ in range(made.randint(0, 3)))
        cases.append((data.hex(), cuts))
        expected.append(hashlib.sha512(data).hexdigest())
    for part in range(0, len(cases), 66):
        assert in_vm(code, cases[part : part + 66]) == expected[part : part + 66]


ED25519 = """
from band.ed25519 import verify
def answer(public, message, signature): return verify(f(public), f(message), f(signature))
"""
# RFC 8032, section 7.1, TEST 1024: its message of 1023 bytes.
TEST_1024 = (
    "08b8b2b733424243760fe426a4b54908632110a66c2f6591eabd3345e3e4eb98fa6e264bf09efe12ee50f8f5"
    "4e9f77b1e355f6c50544e23fb1433ddf73be84d879de7c0046dc4996d9e773f4bc9efe5738829adb26c81b37"
    "c93a1b270b20329d658675fc6ea534e0810a4432826bf58c941efb65d57a338bbd2e26640f89ffbc1a858efc"
    "b8550ee3a5e1998bd177e93a7363c344fe6b199ee5d02e82d522c4feba15452f80288a821a579116ec6dad2b"
    "3b310da903401aa62100ab5d1a36553e06203b33890cc9b832f79ef80560ccb9a39ce767967ed628c6ad573c"
    "b116dbefefd75499da96bd68a8a97b928a8bbc103b6621fcde2beca1231d206be6cd9ec7aff6f6c94fcd7204"
    "ed3455c68c83f4a41da4af2b74ef5c53f1d8ac70bdcb7ed185ce81bd84359d44254d95629e9855a94a7c1958"
    "d1f8ada5d0532ed8a5aa3fb2d17ba70eb6248e594e1a2297acbbb39d502f1a8c6eb6f1ce22b3de1a1f40cc24"
    "554119a831a9aad6079cad88425de6bde1a9187ebb6092cf67bf2b13fd65f27088d78b7e883c8759d2c4f5c6"
    "5adb7553878ad575f9fad878e80a0c9ba63bcbcc2732e69485bbc9c90bfbd62481d9089beccf80cfe2df16a2"
    "cf65bd92dd597b0707e0917af48bbb75fed413d238f5555a7a569d80c3414a8d0859dc65a46128bab27af87a"
    "71314f318c782b23ebfe808b82b0ce26401d2e22f04d83d1255dc51addd3b75a2b1ae0784504df543af8969b"
    "e3ea7082ff7fc9888c144da2af58429ec96031dbcad3dad9af0dcbaaaf268cb8fcffead94f3c7ca495e056a9"
    "b47acdb751fb73e666c6c655ade8297297d07ad1ba5e43f1bca32301651339e22904cc8c42f58c30c04aafdb"
    "038dda0847dd988dcda6f3bfd15c4b4c4525004aa06eeff8ca61783aacec57fb3d1f92b0fe2fd1a85f672451"
    "7b65e614ad6808d6f6ee34dff7310fdc82aebfd904b01e1dc54b2927094b2db68d6f903b68401adebf5a7e08"
    "d78ff4ef5d63653a65040cf9bfd4aca7984a74d37145986780fc0b16ac451649de6188a7dbdf191f64b5fc5e"
    "2ab47b57f7f7276cd419c17a3ca8e1b939ae49e488acba6b965610b5480109c8b17b80e1b7b750dfc7598d5d"
    "5011fd2dcc5600a32ef5b52a1ecc820e308aa342721aac0943bf6686b64b2579376504ccc493d97e6aed3fb0"
    "f9cd71a43dd497f01f17c0e2cb3797aa2a2f256656168e6c496afc5fb93246f6b1116398a346f1a641f3b041"
    "e989f7914f90cc2c7fff357876e506b50d334ba77c225bc307ba537152f3f1610e4eafe595f6d9d90d11faa9"
    "33a15ef1369546868a7f3a45a96768d40fd9d03412c091c6315cf4fde7cb68606937380db2eaaa707b4c4185"
    "c32eddcdd306705e4dc1ffc872eeee475a64dfac86aba41c0618983f8741c5ef68d3a101e8a3b8cac60c905c"
    "15fc910840b94c00a0b9d0"
)
RFC_8032 = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    (
        "278117fc144c72340f67d0f2316e8386ceffbf2b2428c9c51fef7c597f1d426e",
        TEST_1024,
        "0aab4c900501b3e24d7cdf4663326a3a87df5e4843b2cbdb67cbf6e460fec350"
        "aa5371b1508f9f4528ecea23c436d94b5e8fcd4f681e30a6ac00a9704a188a03",
    ),
    (
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        hashlib.sha512(b"abc").hexdigest(),
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589"
        "09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ),
]


def test_the_signatures_of_rfc_8032_are_good_and_no_others_key_has_made_them() -> None:
    wrong = [(RFC_8032[n - 1][0], *case[1:]) for n, case in enumerate(RFC_8032)]
    assert in_vm(ED25519, [*RFC_8032, *wrong]) == [True] * 5 + [False] * 5


def flipped(made: random.Random, data: bytes) -> bytes:
    place = made.randrange(len(data) * 8)
    number = int.from_bytes(data, "little") ^ 1 << place
    return number.to_bytes(len(data), "little")


def test_signatures_are_good_until_any_bit_is_turned() -> None:
    made = random.Random(8032)
    cases: list[tuple[bytes, bytes, bytes]] = []
    expected: list[bool] = []
    for size in (1, 47, 48, 63, 64, 65, 150, 600, 1, 2, 3, 4):
        key = Ed25519PrivateKey.from_private_bytes(made.randbytes(32))
        message = made.randbytes(size)
        signature, of = key.sign(message), public(key)
        cases.append((of, message, signature))
        for _ in range(3):
            cases.append((of, message, flipped(made, signature)))
        cases.append((of, flipped(made, message), signature))
        cases.append((flipped(made, of), message, signature))
        expected += [True] + [False] * 5
    assert in_vm(ED25519, [[part.hex() for part in case] for case in cases]) == expected


def test_each_number_and_point_of_a_signature_has_one_encoding() -> None:
    made = random.Random(25519)
    seed = made.randbytes(32)
    key = Ed25519PrivateKey.from_private_bytes(seed)
    message = b"zoneband"
    signature = key.sign(message)
    s = int.from_bytes(signature[32:], "little")
    # The neutral point as a key: S * B = R holds for any message.
    scalar = int.from_bytes(hashlib.sha512(seed).digest()[:32], "little")
    scalar = (scalar & (1 << 254) - 8 | 1 << 254) % L
    neutral, sign = little(1), 1 << 255
    any_message = public(key) + little(scalar)
    good = [
        (public(key), message, signature),
        (neutral, message, any_message),
        (neutral, message, neutral + little(0)),
    ]
    bad = [
        (public(key), message, signature[:32] + little(s + L)),
        (public(key), message, signature[:32] + little(L)),
        (little(P + 1), message, any_message),
        (little(1 | sign), message, any_message),
        (little(P + 1 | sign), message, any_message),
        (neutral, message, little(P + 1) + little(0)),
        (neutral, message, little(1 | sign) + little(0)),
        (neutral, message, neutral + little(L)),
    ]
    for of, text, signed in good:
        Ed25519PublicKey.from_public_bytes(of).verify(signed, text)
    with pytest.raises(InvalidSignature):
        Ed25519PublicKey.from_public_bytes(bad[0][0]).verify(bad[0][2], message)
    made_of = [[part.hex() for part in case] for case in good + bad]
    assert in_vm(ED25519, made_of) == [True] * len(good) + [False] * len(bad)


def test_what_is_no_key_and_no_signature_is_refused_without_an_exception() -> None:
    key, message, signature = RFC_8032[1]
    # Numbers that are no point's y: half of all are not.
    no_points = [little(y).hex() for y in (2, 7, 2**255 - 1, 2**256 - 1)]
    cases = [
        *((point, message, signature) for point in no_points),
        (key, message, signature[:126]),
        (key, message, signature + "00"),
        (key, message, ""),
        (key[:62], message, signature),
        ("", "", ""),
        ("00" * 32, "", "00" * 64),
        ("ff" * 32, "", "ff" * 64),
    ]
    assert in_vm(ED25519, cases) == [False] * len(cases)


def test_a_key_is_a_point_of_the_curve() -> None:
    # x^2 = (y^2 - 1) / (d * y^2 + 1), which has a root or not (Euler's criterion).
    d = -121665 * pow(121666, -1, P) % P
    cases: list[tuple[str]] = []
    expected: list[bool] = []
    for y in range(2, 42):
        square = (y * y - 1) * pow(d * y * y + 1, -1, P) % P
        cases.append((little(y).hex(),))
        expected.append(pow(square, (P - 1) // 2, P) == 1)
    code = """
from band.ed25519 import _decode
def answer(data): return _decode(f(data)) is not None
"""
    assert 10 < sum(expected) < 30
    assert in_vm(code, cases) == expected


def test_checking_lets_a_watchdog_be_fed_all_the_way() -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    manifest = bytes(2048)
    code = """
from band.ed25519 import verify
def answer(public, message, signature):
    fed = []
    good = verify(f(public), f(message), f(signature), lambda: fed.append(1))
    return [good, len(fed)]
"""
    case = [part.hex() for part in (public(key), manifest, key.sign(manifest))]
    # Once a block of SHA-512 (R, the key, the message and its length), once in 16 bits.
    assert in_vm(code, [case]) == [[True, 17 + 16]]
