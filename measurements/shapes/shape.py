"""The sizes that decide how much a decoder-only transformer reads, computes and keeps."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_Tokens = TypeVar("_Tokens", "float", "npt.NDArray[np.float64]")

DTYPE_BYTES = {"bfloat16": 2, "float16": 2, "float8": 1, "float32": 4}
COMPUTE_DTYPE: Mapping[str | None, str] = {"fp8": "float8"}
"""Quantization -> number format of the linear layers' arithmetic, where it is not the model's own:
4-bit weights are unfolded to that before they are multiplied."""

QUANTIZED_BYTES: Mapping[str, float] = {"fp8": 1.0, "int4": 0.5 + 2 / 128}
"""Quantization -> bytes of a linear layer's weight; of 4 bits, 128 share a scale of 2 bytes."""


@dataclass(frozen=True)
class Layer:
    """One decoder layer.

    Attributes:
        projections: Weights of attention's linear layers.
        feed_forward: Weights of the feed-forward blocks that every token passes: the dense one, or
            the shared experts of a mixture.
        router: Weights of what chooses a token's experts.
        expert: Weights of one routed expert.
        experts: How many of them there are.
        experts_per_token: How many one token passes.
        other: Norms, biases and the like: weights that are no linear layer's.
        score_width: Sizes of a query head, over all heads; what a key is held against.
        value_width: Sizes of a value head, over all query heads.
        cache_width: Values that the cache keeps of a token.
        window: How many tokens back attention looks; None for all.
        intermediate_width: Values between the two halves of the feed-forward blocks, of a token.
    """

    projections: int
    feed_forward: int
    router: int
    expert: int
    experts: int
    experts_per_token: int
    other: int
    score_width: int
    value_width: int
    cache_width: int
    window: int | None
    intermediate_width: int

    @property
    def always_read(self) -> int:
        """Weights of linear layers that every token passes."""
        return self.projections + self.feed_forward + self.router

    @property
    def active(self) -> int:
        """Weights of linear layers that one token passes."""
        return self.always_read + self.experts_per_token * self.expert

    @property
    def quantized(self) -> int:
        """Weights that a quantization of linear layers makes smaller: all but the router."""
        return self.projections + self.feed_forward + self.experts * self.expert

    def experts_touched(self, tokens: _Tokens) -> _Tokens:
        """How many experts so many tokens pass, choosing evenly and independently, on average."""
        if self.experts == 0:
            return 0 * tokens
        untouched: _Tokens = (1 - self.experts_per_token / self.experts) ** tokens
        return self.experts * (1 - untouched)


@dataclass(frozen=True)
class ModelShape:
    """A model.

    Attributes:
        name: Short name, as in table paths.
        layers: Its decoder layers, in their order.
        hidden_size: Width of the residual stream.
        attention_heads: Query heads.
        key_value_heads: Key and value heads; 1 where a latent takes their place.
        vocabulary: Rows of the embedding.
        is_tied: Whether the output head is the embedding.
        other: Weights outside layers that are neither: the last norm, embedded positions.
        positions: Longest request it was made for, input and output [tokens]; None if not told.
    """

    name: str
    layers: tuple[Layer, ...]
    hidden_size: int
    attention_heads: int
    key_value_heads: int
    vocabulary: int
    is_tied: bool
    other: int
    positions: int | None

    @cached_property
    def kinds(self) -> Mapping[Layer, int]:
        """Each different layer, and how often it is there."""
        return Counter(self.layers)

    @property
    def head_parameters(self) -> int:
        """Weights of the output head."""
        return self.vocabulary * self.hidden_size

    @property
    def parameters(self) -> int:
        """All weights; an output head that is the embedding counts once."""
        layers = sum(
            n * (layer.router + layer.quantized + layer.other) for layer, n in self.kinds.items()
        )
        return layers + (1 if self.is_tied else 2) * self.head_parameters + self.other

    @property
    def active_parameters(self) -> int:
        """Weights of the layers' linear layers that one token passes."""
        return sum(n * layer.active for layer, n in self.kinds.items())

    @property
    def expert_parameters(self) -> int:
        """Of these, those of routed experts."""
        return sum(n * layer.experts_per_token * layer.expert for layer, n in self.kinds.items())

    @property
    def is_mixture(self) -> bool:
        """Whether some layer routes tokens to experts."""
        return any(layer.experts for layer in self.kinds)

    @property
    def pair_width(self) -> int:
        """Multiplications that a query-key pair takes, over all layers."""
        return sum(n * (layer.score_width + layer.value_width) for layer, n in self.kinds.items())

    @property
    def intermediate_width(self) -> int:
        """Most values between the halves of a layer's feed-forward blocks, of a token."""
        return max(layer.intermediate_width for layer in self.kinds)

    def parameters_read(self, tokens: _Tokens) -> _Tokens:
        """Weights that a step over so many tokens, or steps over an array of them, read at least.

        Those of linear layers and the output head; a mixture reads the experts that some token
        chose.
        """
        read: _Tokens = self.head_parameters + 0 * tokens
        for layer, n in self.kinds.items():
            read = read + n * (layer.always_read + layer.expert * layer.experts_touched(tokens))
        return read

    def share_read(self, tokens: _Tokens) -> _Tokens:
        """Of all weights that steps may read, the share that steps over so many tokens do."""
        all_of_them = self.head_parameters + sum(
            n * (layer.always_read + layer.expert * layer.experts)
            for layer, n in self.kinds.items()
        )
        share: _Tokens = self.parameters_read(tokens) / all_of_them
        return share

    def weight_bytes_read(
        self, tokens: _Tokens, dtype: str, quantization: str | None = None
    ) -> _Tokens:
        """Bytes of weights that a step over so many tokens reads at least.

        Quantized are attention projections and feed-forward blocks; router and output head keep the
        model's own format.

        Args:
            tokens: Of a step, or of an array of steps.
            dtype: The model's own number format.
            quantization: None, or a key of `QUANTIZED_BYTES`.
        """
        read = self.parameters_read(tokens)
        routers = sum(n * layer.router for layer, n in self.kinds.items())
        quantized = read - self.head_parameters - routers
        return read * DTYPE_BYTES[dtype] - _saved_bytes(dtype, quantization) * quantized

    def weight_bytes(self, dtype: str, quantization: str | None = None) -> float:
        """Memory that all weights take, the embedding among them [bytes]; arguments likewise."""
        quantized = sum(n * layer.quantized for layer, n in self.kinds.items())
        saved = _saved_bytes(dtype, quantization)
        return float(self.parameters * DTYPE_BYTES[dtype] - saved * quantized)

    def cache_copies(self, gpus: int) -> int:
        """How often each key and value is kept: GPUs that are more than heads keep some twice."""
        return max(1, gpus // self.key_value_heads)

    def kv_bytes_per_token(self, dtype: str) -> int:
        """Bytes of the KV cache that one token takes, where no window has passed it."""
        width = sum(n * layer.cache_width for layer, n in self.kinds.items())
        return width * DTYPE_BYTES[dtype]


def _saved_bytes(dtype: str, quantization: str | None) -> float:
    """Bytes that a quantized weight is smaller by."""
    own = DTYPE_BYTES[dtype]
    return 0 if quantization is None else own - QUANTIZED_BYTES[quantization]
