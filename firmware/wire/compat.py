"""`const` for both Pythons: MicroPython folds it when it compiles, CPython has no such function."""

try:
    from micropython import const  # pyright: ignore[reportAssignmentType]
except ImportError:

    def const(value: int) -> int:
        return value


__all__ = ("const",)
