"""Weights drawn at random, which stand in for a model's own."""

from typing import Any

from joulecast.measurements.engines import EngineRequest

WEIGHTS_SD = 0.02
SEED = 20251504
FP8_SD = 90.0
"""Of values of 8 bits before their scale: the largest that they hold is five times that."""

FP8_LARGEST = 448.0


def weights_in_words(request: EngineRequest) -> str:
    """Where the weights come from, for table.json."""
    if request.weights is not None:
        return f"given: {request.weights.resolve().name}"
    return f"drawn from N(0, {WEIGHTS_SD}), norms 1"


def draw_weights(model: Any) -> None:
    """Draw every weight of a model anew, where it lies: norms are 1, biases 0, the rest N(0, 0.02).

    Weights of 8 bits are drawn so that value times scale is N(0, 0.02), with one scale for all.

    Args:
        model: A torch module; of a model that several GPUs share, the part of one. Parts are drawn
            alike, so that what all of them hold is the same in all.

    Raises:
        ValueError: A weight is packed in a way that no number can be drawn into.
    """
    import torch

    device = next(model.parameters()).device
    generator = torch.Generator(device=device).manual_seed(SEED)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            elif "norm" in name:
                parameter.fill_(1.0)
            elif parameter.dtype == torch.float8_e4m3fn:
                drawn = torch.empty(parameter.shape, dtype=torch.bfloat16, device=device)
                drawn.normal_(0.0, FP8_SD, generator=generator).clamp_(-FP8_LARGEST, FP8_LARGEST)
                parameter.copy_(drawn)
            elif not parameter.is_floating_point():
                raise ValueError(
                    f"{name} is packed as {parameter.dtype}, as on GPUs that do not compute in 8 "
                    "bits, and cannot be drawn; leave --quantization out, or give --weights"
                )
            elif name.endswith(("weight_scale", "weight_scale_inv")):
                parameter.fill_(WEIGHTS_SD / FP8_SD)
            else:
                parameter.normal_(0.0, WEIGHTS_SD, generator=generator)


class RandomWeights:
    """What vLLM mixes into the worker of each GPU: drawing its weights, and what it accepts."""

    def draw_random_weights(self) -> None:
        """Draw the weights of this worker's part of the model, and of its draft if it has one."""
        draw_weights(self.get_model())  # type: ignore[attr-defined]  # vLLM's worker has it
        drafter = getattr(getattr(self, "model_runner", None), "drafter", None)
        if drafter is not None:
            draw_weights(drafter.model)

    def set_acceptance(self, acceptance: float) -> None:
        """Have each proposed token accepted with this probability, given those before it."""
        import torch

        sampler = self.model_runner.rejection_sampler  # type: ignore[attr-defined]  # likewise
        with torch.inference_mode():
            sampler.synthetic_conditional_rates.fill_(acceptance)


WORKER_EXTENSION = f"{RandomWeights.__module__}.{RandomWeights.__name__}"
DRAW = RandomWeights.draw_random_weights.__name__
SET_ACCEPTANCE = RandomWeights.set_acceptance.__name__
