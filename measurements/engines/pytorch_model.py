"""A transformers model on its device, with its own weights or random ones, and what it caches."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joulecast.measurements.engines import EngineError, one_line
from joulecast.measurements.engines.random_weights import draw_weights
from joulecast.measurements.shapes.shape import DTYPE_BYTES

DTYPE = "bfloat16"
ATTENTION = "sdpa"


@dataclass(frozen=True)
class CacheShape:
    """What each layer of a model keeps of a token."""

    layers: int
    heads: int
    key_size: int
    value_size: int

    @property
    def layer_bytes(self) -> int:
        """Bytes of a token in one layer."""
        return self.heads * (self.key_size + self.value_size) * DTYPE_BYTES[DTYPE]


def build_model(config: Mapping[str, Any], weights: Path | None, device: str) -> Any:
    """A model on its device, which ends no sequence by itself.

    Args:
        config: The model's.
        weights: Folder with weights; None to draw them from N(0, 0.02).
        device: As torch names it.

    Raises:
        EngineError: transformers cannot load it.
    """
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    how = {"dtype": getattr(torch, DTYPE), "attn_implementation": ATTENTION}
    try:
        if weights is not None:
            model, loading = transformers.AutoModelForCausalLM.from_pretrained(
                weights,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                **how,
            )
            if missing := sorted(loading["missing_keys"]):
                raise ValueError(f"the weights lack {', '.join(missing[:3])}")
            model = model.to(device)
        else:
            document = {k: v for k, v in config.items() if k != "torch_dtype"}
            own = transformers.AutoConfig.for_model(**copy.deepcopy(document))
            with torch.device(device):
                model = transformers.AutoModelForCausalLM.from_config(own, **how)
            draw_weights(model)
    except Exception as error:
        raise EngineError(f"transformers cannot load the model: {one_line(error)}") from error
    # What a model brings along (sampling, tokens that end a sequence) must not shorten a batch.
    model.generation_config = transformers.GenerationConfig()
    return model.eval()


def cache_shape(model: Any, device: str) -> CacheShape:
    """What the built model caches; a config's keys do not always tell.

    Raises:
        EngineError: Not all of its layers cache the whole context alike.
    """
    import torch
    import transformers

    try:
        with torch.no_grad():
            prompt = torch.zeros(1, 2, dtype=torch.long, device=device)
            layers = model(prompt, use_cache=True).past_key_values.layers
        shapes = {(layer.keys.shape[1:], layer.values.shape[1:]) for layer in layers}
        is_plain = len(shapes) == 1 and all(
            type(layer) is transformers.cache_utils.DynamicLayer for layer in layers
        )
        if not is_plain or len(model.get_decoder().layers) != len(layers):
            raise ValueError("its layers do not all cache the whole context alike")
    except Exception as error:
        raise EngineError(
            f"the pytorch engine cannot find the largest batches of this model: {one_line(error)}"
        ) from error
    first = layers[0]
    return CacheShape(len(layers), first.keys.shape[1], first.keys.shape[3], first.values.shape[3])
