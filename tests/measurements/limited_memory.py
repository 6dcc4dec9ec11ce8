"""A device memory with an end, on the CPU: counts the bytes of all tensors that live."""

import gc
import weakref
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.weak import WeakIdKeyDictionary


class LimitedMemory(TorchDispatchMode):
    """Within it, tensors are made until their bytes exceed a limit; then torch is out of memory.

    Args:
        limit_bytes: The end.
    """

    reserve_bytes = 0

    def __init__(self, limit_bytes: int) -> None:
        super().__init__()
        self.limit_bytes, self.used_bytes, self.failures = limit_bytes, 0, 0
        self._known = WeakIdKeyDictionary()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        gc.unfreeze()

    def free_bytes(self) -> int:
        return self.limit_bytes - self.used_bytes

    def release(self) -> None:
        gc.collect()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor):
            self._count(made)
        else:
            tree_map_only(torch.Tensor, self._count, made)
        if self.used_bytes > self.limit_bytes:
            self.failures += 1
            raise torch.OutOfMemoryError(f"over {self.limit_bytes} bytes")
        return made

    def _count(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage not in self._known:
            self._known[storage] = True
            self.used_bytes += storage.nbytes()
            weakref.finalize(storage, self._give_back, storage.nbytes())

    def _give_back(self, size: int) -> None:
        self.used_bytes -= size
