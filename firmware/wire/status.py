"""Small numbers that messages carry and a band needs even while it has no session."""

from .compat import const

# What a band says of itself in HELLO_OK, WELCOME and CLOCK_NOW.
UTC_SET = const(1)
UTC_SUSPECT = const(2)
UTC_AHEAD = const(4)
PROVISIONED = const(8)
LOG_FAULT = const(16)
LOCKED = const(32)

# Kinds of CUE.
CUE_DONE = const(1)
CUE_ERROR = const(2)
