"""The memory that batches must fit into."""

import gc
from typing import Protocol


class Memory(Protocol):
    """The memory of the device that an engine runs on.

    Attributes:
        reserve_bytes: Kept free while batches are tried, so that what just fits once fits again.
    """

    reserve_bytes: int

    def free_bytes(self) -> int:
        """Bytes that new tensors may take."""

    def release(self) -> None:
        """Give back all that no tensor holds any more."""


class GpuMemory:
    """Memory of a CUDA GPU behind PyTorch's caching allocator."""

    reserve_bytes = 2**30

    def free_bytes(self) -> int:
        """Free on the card, and cached by the allocator without a use."""
        import torch

        free, _ = torch.cuda.mem_get_info()
        return int(free + torch.cuda.memory_reserved() - torch.cuda.memory_allocated())

    def release(self) -> None:
        """Collect what only cycles hold (an exception's frames, say) and empty the cache."""
        import torch

        gc.collect()
        torch.cuda.empty_cache()
