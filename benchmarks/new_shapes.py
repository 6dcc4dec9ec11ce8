"""What a decode step takes in plain PyTorch whose shape is new, and one that was seen; needs a GPU.

docs/engines.md says why: cuDNN's attention is planned anew for every batch size and cache length.
"""

import time

import torch

from joulecast.measurements.engines import EngineRequest, EngineVariant
from joulecast.measurements.engines.pytorch import PytorchEngine, load
from joulecast.measurements.models import load_config

MODEL = "llama-3.1-8b"
BATCHES = ((2, 128, 48), (32, 32, 64), (4, 2048, 64), (256, 256, 64))


def step_ms(engine: PytorchEngine, batch_size: int, input_tokens: int, output_tokens: int) -> float:
    """Time of a batch over its steps, the prefill among them [ms]."""
    batch = engine.prepare(input_tokens, output_tokens, batch_size)
    torch.cuda.synchronize()
    began = time.perf_counter()
    batch()
    return 1000 * (time.perf_counter() - began) / output_tokens


def main() -> None:
    """Each batch twice, with cuDNN's attention and, one request larger, without."""
    engine = load(EngineRequest(MODEL, load_config(MODEL), None, EngineVariant(), 9000))
    step_ms(engine, 1, 128, 8)
    for is_allowed in (True, False):
        torch.backends.cuda.enable_cudnn_sdp(is_allowed)
        for size, *lengths in BATCHES:
            new, seen = (step_ms(engine, size + (not is_allowed), *lengths) for _ in range(2))
            print(
                f"cuDNN {'allowed' if is_allowed else 'off':8s} batch {size:4d} {lengths}: "
                f"new {new:6.1f} ms, seen {seen:6.1f} ms a step"
            )


if __name__ == "__main__":
    main()
