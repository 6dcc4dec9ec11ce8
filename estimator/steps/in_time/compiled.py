"""The loop compiled, where numba is there and enough is asked for to be worth it."""

import hashlib
import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any, cast

from joulecast.estimator.steps.in_time import equal_steps, heap, scheduling
from joulecast.estimator.steps.in_time.advance import advance
from joulecast.traces.public.catalog import cache_folder

FEWEST_REQUESTS = 5_000
"""From so many on the seconds that compiled code takes to load are won back."""


@cache
def can_compile() -> bool:
    """Whether numba is installed."""
    return importlib.util.find_spec("numba") is not None


@cache
def compiled_advance() -> Callable[..., int]:
    """`advance` for arrays, as machine code, which lets go of the interpreter's lock.

    What was compiled is kept in the user's cache folder, by what the sources hold.
    """
    import numba
    from numba.extending import register_jitable

    for module in (heap, equal_steps, scheduling):
        for function in vars(module).values():
            if isinstance(function, FunctionType) and function.__module__ == module.__name__:
                register_jitable(function)
    settings: Any = numba.config
    before = settings.CACHE_DIR
    settings.CACHE_DIR = str(cache_folder() / "compiled" / _sources_hash())
    try:
        return cast("Callable[..., int]", numba.njit(cache=True, nogil=True)(advance))
    finally:
        settings.CACHE_DIR = before


def _sources_hash() -> str:
    """Of the files that are compiled together, any of which may change."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
