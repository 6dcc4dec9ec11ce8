"""Model architectures by name: Hugging Face config files, and what follows from their shapes."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from joulecast.traces.errors import InputError, unknown_name
from joulecast.traces.files import exists, read_json

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_Tokens = TypeVar("_Tokens", "float", "npt.NDArray[np.float64]")

DTYPE_BYTES = {"bfloat16": 2, "float16": 2, "float8": 1, "float32": 4}
COMPUTE_DTYPE: Mapping[str | None, str] = {"fp8": "float8"}
"""Quantization -> number format of the linear layers' weights, and of their arithmetic."""

_SUFFIX = ".json"
_TOO_LARGE = 2**31
_SIZES = (
    "num_hidden_layers",
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "vocab_size",
)


@dataclass(frozen=True)
class ModelShape:
    """The sizes that decide how many bytes a decoder-only transformer moves.

    Attributes:
        name: Short name, as in table paths.
        layers: Decoder layers.
        hidden_size: Width of the residual stream.
        intermediate_size: Width of one feed-forward block (of one expert).
        attention_heads: Query heads.
        key_value_heads: Key and value heads.
        head_size: Width of a head.
        vocabulary: Rows of the embedding.
        experts: Feed-forward blocks per layer; 1 if not a mixture.
        experts_per_token: How many of them one token uses.
    """

    name: str
    layers: int
    hidden_size: int
    intermediate_size: int
    attention_heads: int
    key_value_heads: int
    head_size: int
    vocabulary: int
    experts: int = 1
    experts_per_token: int = 1

    @property
    def attention_parameters(self) -> int:
        """Weights of all attention projections."""
        query_and_output = 2 * self.hidden_size * self.attention_heads * self.head_size
        key_and_value = 2 * self.hidden_size * self.key_value_heads * self.head_size
        return self.layers * (query_and_output + key_and_value)

    @property
    def expert_parameters(self) -> int:
        """Weights of one expert in every layer (the whole feed-forward part if there is one)."""
        return self.layers * 3 * self.hidden_size * self.intermediate_size

    @property
    def shared_parameters(self) -> int:
        """Weights that every step reads: attention, router, output head."""
        router = self.layers * self.hidden_size * self.experts if self.experts > 1 else 0
        return self.attention_parameters + router + self.vocabulary * self.hidden_size

    def parameters_read(self, tokens: _Tokens) -> _Tokens:
        """Weights that a step over so many tokens, or steps over an array of them, read at least.

        A mixture reads the experts that some token chose; with tokens choosing evenly and
        independently that is experts * (1 - (1 - k / experts)^tokens) on average.
        """
        untouched: _Tokens = (1 - self.experts_per_token / self.experts) ** tokens
        return self.shared_parameters + self.expert_parameters * self.experts * (1 - untouched)

    def weight_bytes_read(
        self, tokens: _Tokens, dtype: str, quantization: str | None = None
    ) -> _Tokens:
        """Bytes of weights that a step over so many tokens reads at least.

        Quantized are attention projections and feed-forward blocks; router and output head keep the
        model's own format.

        Args:
            tokens: Of a step, or of an array of steps.
            dtype: The model's own number format.
            quantization: None, or a key of `COMPUTE_DTYPE`.
        """
        saved = self._saved_per_parameter(dtype, quantization)
        quantized = self.parameters_read(tokens) - (
            self.shared_parameters - self.attention_parameters
        )
        return self.parameters_read(tokens) * DTYPE_BYTES[dtype] - saved * quantized

    def weight_bytes(self, dtype: str, quantization: str | None = None) -> float:
        """Memory that all weights take, the embedding among them [bytes]; arguments likewise."""
        experts = self.expert_parameters * self.experts
        parameters = self.shared_parameters + experts + self.vocabulary * self.hidden_size
        saved = self._saved_per_parameter(dtype, quantization)
        return parameters * DTYPE_BYTES[dtype] - saved * (self.attention_parameters + experts)

    @staticmethod
    def _saved_per_parameter(dtype: str, quantization: str | None) -> int:
        """Bytes that a quantized parameter is smaller by."""
        return DTYPE_BYTES[dtype] - DTYPE_BYTES[COMPUTE_DTYPE.get(quantization, dtype)]

    def kv_bytes_per_token(self, dtype: str) -> int:
        """Bytes of the KV cache that one token takes."""
        width = 2 * self.layers * self.key_value_heads * self.head_size
        return width * DTYPE_BYTES[dtype]


def model_names() -> list[str]:
    """Short names of the models whose configs ship."""
    return sorted(
        path.name.removesuffix(_SUFFIX) for path in _folder().iterdir() if path.suffix == _SUFFIX
    )


def load_config(model: str) -> dict[str, Any]:
    """The config of a model by its short name, or from a config.json or a folder that holds one.

    Raises:
        InputError: No such name or file; the nearest name is suggested.
    """
    if model in model_names():
        path = _folder() / f"{model}{_SUFFIX}"
    elif exists(model):
        path = Path(model) / "config.json" if Path(model).is_dir() else Path(model)
    else:
        raise unknown_name("model", model, model_names())
    config = read_json(path, "give a Hugging Face config.json")
    if not isinstance(config, dict) or "model_type" not in config:
        raise InputError(f"{path}: is not a Hugging Face config: it has no model_type")
    return config


def load_shape(model: str) -> ModelShape:
    """The sizes of a model, from its config.

    Raises:
        InputError: No such model, or its config lacks a size.
    """
    config = load_config(model)
    try:
        sizes = {key: _size(config[key]) for key in _SIZES}
        heads, hidden = sizes["num_attention_heads"], sizes["hidden_size"]
        return ModelShape(
            name=model,
            layers=sizes["num_hidden_layers"],
            hidden_size=hidden,
            intermediate_size=sizes["intermediate_size"],
            attention_heads=heads,
            key_value_heads=_size(config.get("num_key_value_heads") or heads),
            head_size=_size(config.get("head_dim") or hidden // heads),
            vocabulary=sizes["vocab_size"],
            experts=_size(config.get("num_experts") or config.get("num_local_experts") or 1),
            experts_per_token=_size(config.get("num_experts_per_tok") or 1),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{model}: its config lacks or garbles {error}") from error


def _size(value: object) -> int:
    if not isinstance(value, int) or not 1 <= value < _TOO_LARGE:
        raise ValueError(f"{value!r}, which is no size")
    return value


def _folder() -> Path:
    return Path(str(files("joulecast.measurements") / "model_configs"))
