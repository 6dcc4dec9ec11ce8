"""joulecast: forecast the energy that an LLM serving stack will spend on a request trace.

The names that it hands on are in `__init__.pyi`, and are imported when they are used: a command
that needs none of them does not even read which there are. docs/python.md describes each.
"""

from functools import cache
from typing import Any

from joulecast.version import VERSION

__version__ = VERSION


@cache
def __getattr__(name: str) -> Any:
    attribute, names = _stub()
    return [*names, "__version__"] if name == "__all__" else attribute(name)


def __dir__() -> list[str]:
    return list(__getattr__("__all__"))


@cache
def _stub() -> tuple[Any, list[str]]:
    """What imports a name of the stub, and all names of it."""
    import lazy_loader

    attribute, _, names = lazy_loader.attach_stub(__name__, __file__)
    return attribute, names
