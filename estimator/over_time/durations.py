"""How long something takes, in words."""

_UNITS = ((86_400.0, "days"), (3600.0, "h"), (60.0, "min"))


def duration(seconds: float) -> str:
    """A time in the fitting unit."""
    size, unit = time_unit(seconds)
    shown = seconds / size
    return f"{shown:,.0f} {unit}" if shown >= 10_000 else f"{shown:.4g} {unit}"


def time_unit(seconds: float) -> tuple[float, str]:
    """The unit that suits a time: its size [s] and its name."""
    return next(((size, unit) for size, unit in _UNITS if seconds >= 2 * size), (1.0, "s"))


def moment(seconds: float) -> str:
    """How long a request waited: milliseconds, or seconds, or more."""
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 2 * _UNITS[-1][0] else duration(seconds)
