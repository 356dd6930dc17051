"""Serials: what a person types is read as the label says it, or refused."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoneband import serials
from zoneband.errors import UserError

numbers = st.integers(0, 32**7 - 1).filter(lambda n: serials.of_number(n) is not None)


def test_the_check_is_crockfords() -> None:
    # https://www.crockford.com/base32.html: the number modulo 37 as a symbol; 1234 is 16J, check D.
    assert serials.of_number(1234) == "ZB-0000-16JD"


@given(numbers)
def test_a_serial_is_read_however_it_is_typed(number: int) -> None:
    serial = serials.of_number(number)
    assert serial is not None
    for typed in (serial, serial.lower(), serial.replace("-", ""), f"  {serial[3:]} "):
        assert serials.read(typed) == serial
    assert serials.read(serial.replace("0", "O").replace("1", "l")) == serial


@given(numbers, st.integers(0, 7), st.sampled_from(serials.ALPHABET))
def test_one_wrong_character_is_noticed(number: int, at: int, letter: str) -> None:
    plain = (serials.of_number(number) or "")[3:].replace("-", "")
    wrong = plain[:at] + letter + plain[at + 1 :]
    if wrong != plain:
        with pytest.raises(UserError):
            serials.read(wrong)


@given(numbers, st.integers(0, 6))
def test_two_that_changed_places_are_noticed(number: int, at: int) -> None:
    plain = (serials.of_number(number) or "")[3:].replace("-", "")
    wrong = plain[:at] + plain[at + 1] + plain[at] + plain[at + 2 :]
    if wrong != plain:
        with pytest.raises(UserError):
            serials.read(wrong)


@given(st.text(max_size=20))
def test_anything_else_is_one_clear_line(text: str) -> None:
    try:
        assert serials.read(text).startswith("ZB-")
    except UserError as error:
        assert "label" in error.message


def test_new_serials_differ() -> None:
    rng = random.Random(1)
    made = {serials.make(rng.randrange) for _n in range(2000)}
    assert len(made) == 2000
    assert all(serials.read(serial) == serial for serial in made)
