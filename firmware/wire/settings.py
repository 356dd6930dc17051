"""A band's settings (config.json): radio schedule and table size, each with its range.

Times are in ms or s as the name says. Shared, so that flashing refuses what a band would not take.
"""

# name: (default, lowest, highest)
RANGES = {
    "adv_interval_ms": (100, 100, 1000),
    "window_ms": (110, 30, 1000),
    "period_ms": (2400, 500, 60000),
    "silent_s": (60, 10, 600),
    "table_slots": (256, 64, 512),
}


def check(name: str, value: object) -> None:
    """Raises ValueError, naming the range, for a setting that no band takes."""
    if name not in RANGES:
        raise ValueError("unknown setting " + str(name))
    _, low, high = RANGES[name]
    if type(value) is not int or not low <= value <= high:
        raise ValueError("{} must be {} to {}".format(name, low, high))
