"""Band serials: ZB-XXXX-XXXX in Crockford's base 32, the last character a check.

The check is Crockford's own (the number modulo 37, https://www.crockford.com/base32.html), so any
single wrong character and any two that changed places are noticed. Serials whose check would be
one of its five extra symbols (* ~ $ = U) are never given out.
"""

import secrets
from collections.abc import Callable

from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
PATTERN = r"^ZB-[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}$"
_DIGITS = 7
_ALIKE = str.maketrans("OIL", "011")


def of_number(number: int) -> str | None:
    """The serial of a number below 32**7; None when its check is no letter or digit."""
    check = number % 37
    if check >= len(ALPHABET):
        return None
    digits = ""
    for _place in range(_DIGITS):
        number, digit = divmod(number, 32)
        digits = ALPHABET[digit] + digits
    return f"ZB-{digits[:4]}-{digits[4:]}{ALPHABET[check]}"


def make(below: Callable[[int], int] = secrets.randbelow) -> str:
    """A new serial at random; below(n): a random number under n."""
    while True:
        serial = of_number(below(32**_DIGITS))
        if serial is not None:
            return serial


def read(text: str) -> str:
    """A serial as a person typed it or a scanner read it: case, dashes and O, I, L do not matter.

    Raises UserError when it cannot be one."""
    plain = text.strip().upper().replace("-", "").replace(" ", "")
    plain = plain.removeprefix("ZB").translate(_ALIKE)
    if len(plain) == _DIGITS + 1 and all(letter in ALPHABET for letter in plain):
        number = 0
        for letter in plain[:_DIGITS]:
            number = number * 32 + ALPHABET.index(letter)
        if number % 37 == ALPHABET.index(plain[_DIGITS]):
            return f"ZB-{plain[:4]}-{plain[4:]}"
    raise UserError(
        _("{text} is no serial: one character is wrong or missing. Read the label again.").format(
            text=text.strip()
        ),
        ExitCode.USAGE,
    )
