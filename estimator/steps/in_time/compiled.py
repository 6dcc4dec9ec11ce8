"""The loop compiled, where numba is there and enough is asked for to be worth it."""

import hashlib
import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any, cast

from joulecast.estimator.steps.in_time import advance, equal_steps, heap, scheduling
from joulecast.traces.public.catalog import cache_folder

Loop = Callable[..., int]

FEWEST_REQUESTS = 50_000
"""From so many on the seconds that compiled code takes to load are won back."""


@cache
def can_compile() -> bool:
    """Whether numba is installed."""
    return importlib.util.find_spec("numba") is not None


@cache
def compiled(function: Loop) -> Loop:
    """`advance` or `route` for arrays, as machine code that lets go of the interpreter's lock.

    What was compiled is kept in the user's cache folder, by what the sources hold.
    """
    import numba

    _register()
    settings: Any = numba.config
    before = settings.CACHE_DIR
    settings.CACHE_DIR = str(cache_folder() / "compiled" / _sources_hash())
    try:
        return cast("Loop", numba.njit(cache=True, nogil=True)(function))
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


def _sources_hash() -> str:
    """Of the files that are compiled together, any of which may change."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
