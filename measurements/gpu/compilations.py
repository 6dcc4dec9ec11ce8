"""Which kernels Triton compiles while an engine works, as it meets shapes that are new to it."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

_kernels: list[str] = []
"""Of this process: Triton tells them to whatever its only hook is."""


def compiled_kernels() -> Sequence[str]:
    """Kernels that Triton compiled in this process, in order, since this was first called.

    The GPU waits for a kernel that is compiled, or loaded from Triton's own files: 10 ms to some
    seconds. Not seen are kernels of other processes, such as those of engines on several GPUs, and
    those that torch.compile has made.

    Returns:
        Their names; it grows. Empty where Triton is not loaded yet, or does not say.
    """
    knobs: Any = getattr(sys.modules.get("triton"), "knobs", None)
    runtime: Any = getattr(knobs, "runtime", None)
    told_before = getattr(runtime, "jit_post_compile_hook", None)
    # Others may have put theirs in its place since.
    if hasattr(runtime, "jit_post_compile_hook") and not isinstance(told_before, _Teller):
        runtime.jit_post_compile_hook = _Teller(told_before)
    return _kernels


class _Teller:
    """Keeps a kernel's name, and tells who was told before."""

    def __init__(self, told_before: Callable[..., Any] | None) -> None:
        self._told_before = told_before

    def __call__(self, **event: Any) -> Any:
        _kernels.append(str(getattr(event.get("fn"), "name", "a kernel")))
        return None if self._told_before is None else self._told_before(**event)
