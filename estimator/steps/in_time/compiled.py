"""The loop compiled, where numba is there and enough is asked for to be worth it."""

import hashlib
import importlib.util
import math
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any, cast

from joulecast.estimator.steps.in_time import advance, equal_steps, heap, scheduling
from joulecast.traces.public.catalog import cache_folder

Loop = Callable[..., int]

FEWEST_REQUESTS = 50_000
"""From so many on the seconds that compiling takes are won back."""

FEWEST_TO_LOAD = 5_000
"""From so many on the tenths that loading takes, once it was compiled."""


@cache
def fewest_to_compile() -> float:
    """How many requests are worth machine code here; infinitely many without numba."""
    try:
        has_numba = importlib.util.find_spec("numba") is not None
    except ImportError:
        has_numba = False
    if not has_numba:
        return math.inf
    return FEWEST_TO_LOAD if _folder().is_dir() else FEWEST_REQUESTS


_ONE_AT_A_TIME = threading.Lock()

_UNCOUNTED: dict[str, Any] = {"_nrt": False}
"""Nothing is allocated, so no array has to be counted as in use: counting the twenty arrays of
every call took three quarters of the time."""


@cache
def compiled(function: Loop) -> Loop:
    """`advance` or `route` for arrays, as machine code that lets go of the interpreter's lock.

    What was compiled is kept in the user's cache folder, by what the sources hold.
    """
    import numba

    settings: Any = numba.config
    # Where numba keeps it is one setting of the process: threads would change it under each other.
    with _ONE_AT_A_TIME:
        _register()
        before = settings.CACHE_DIR
        settings.CACHE_DIR = str(_folder())
        try:
            return cast("Loop", numba.njit(cache=True, nogil=True, **_UNCOUNTED)(function))
        finally:
            settings.CACHE_DIR = before


@cache
def _register() -> None:
    """Have machine code call the functions of this package."""
    from numba.extending import register_jitable

    for module in (heap, equal_steps, scheduling, advance):
        for function in vars(module).values():
            if isinstance(function, FunctionType) and function.__module__ == module.__name__:
                register_jitable(function)


def _folder() -> Path:
    """Of what was compiled from these files, any of which may change."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return cache_folder() / "compiled" / digest.hexdigest()[:16]
