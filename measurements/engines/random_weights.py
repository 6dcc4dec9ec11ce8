"""Weights drawn at random, which stand in for a model's own."""

from typing import Any

from joulecast.measurements.engines import EngineRequest

WEIGHTS_SD = 0.02
SEED = 20251504


def weights_in_words(request: EngineRequest) -> str:
    """Where the weights come from, for table.json."""
    if request.weights is not None:
        return f"given: {request.weights.resolve().name}"
    return f"drawn from N(0, {WEIGHTS_SD}), norms 1"


def draw_weights(model: Any, device: str = "cuda") -> None:
    """Draw every weight of a model anew, where it lies: norms are 1, biases 0, the rest N(0, 0.02).

    Args:
        model: A torch module.
        device: Where its parameters are.
    """
    import torch

    generator = torch.Generator(device=device).manual_seed(SEED)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            elif "norm" in name:
                parameter.fill_(1.0)
            else:
                parameter.normal_(0.0, WEIGHTS_SD, generator=generator)
