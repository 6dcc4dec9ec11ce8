"""Modules that are imported when something of them is used."""

import importlib
from typing import Any


class LazyModule:
    """Stands for a module until an attribute of it is asked for.

    Args:
        name: Its full name.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)
