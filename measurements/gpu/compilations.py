"""Which kernels Triton compiles while an engine works, as it meets shapes that are new to it."""

import functools
import importlib
import sys
from collections.abc import Sequence
from typing import Any


def compiled_kernels() -> Sequence[str]:
    """Kernels that Triton compiled in this process, in order, since this was first called.

    The GPU waits for a kernel that is compiled, or loaded from Triton's own files: 10 ms to some
    seconds. Kernels of other processes are not seen, such as those of engines on several GPUs.

    Returns:
        Their names; it grows. Empty where Triton is not loaded yet, or does not say.
    """
    return _watch() if "triton" in sys.modules else ()


@functools.cache
def _watch() -> Sequence[str]:
    """Have Triton tell of each kernel, from now on; others that it tells go on being told."""
    kernels: list[str] = []
    knobs: Any = getattr(importlib.import_module("triton"), "knobs", None)
    runtime: Any = getattr(knobs, "runtime", None)
    if not hasattr(runtime, "jit_post_compile_hook"):
        return kernels
    told_before = runtime.jit_post_compile_hook

    def tell(**event: Any) -> Any:
        kernels.append(str(getattr(event.get("fn"), "name", "a kernel")))
        return None if told_before is None else told_before(**event)

    runtime.jit_post_compile_hook = tell
    return kernels
