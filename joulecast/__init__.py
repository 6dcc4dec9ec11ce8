"""joulecast: forecast the energy that an LLM serving stack will spend on a request trace.

The names that it hands on are in `__init__.pyi`, and are imported when they are used: a command
that needs few of them starts quickly. docs/python.md describes each.
"""

import lazy_loader

from joulecast.version import VERSION

__getattr__, __dir__, _names = lazy_loader.attach_stub(__name__, __file__)
__version__ = VERSION
__all__ = [*_names, "__version__"]  # noqa: PLE0604 - names of the stub
