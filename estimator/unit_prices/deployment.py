"""What serves: a model on GPUs under an engine, measured or not."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

from joulecast.estimator.steps.work import Steps
from joulecast.estimator.unit_prices.work import StepWork, step_work
from joulecast.measurements.engines import require_shareable
from joulecast.measurements.hardware import Gpu, gpus_in_words
from joulecast.measurements.models import load_config, load_shape, model_called
from joulecast.measurements.shapes.architectures import text_config
from joulecast.measurements.shapes.shape import COMPUTE_DTYPE, QUANTIZED_BYTES, ModelShape
from joulecast.traces.errors import InputError

Dtype = Literal["bfloat16", "float16", "fp8", "int4"]
DTYPES: tuple[Dtype, ...] = get_args(Dtype)


def own_format(model: str) -> Dtype | None:
    """The number format of weights that are published quantized; None for those that are not.

    Raises:
        InputError: They are quantized in another way.
    """
    config = load_config(model)
    told = config.get("quantization_config") or text_config(config).get("quantization_config")
    if not told:
        return None
    words = json.dumps(told).lower()
    method = str(told.get("quant_method", "")).lower() if isinstance(told, Mapping) else ""
    if "fp8" in words or "float8" in words or ('"num_bits": 8' in words and '"float"' in words):
        return "fp8"
    is_4_bit = any(sign in words for sign in ('bits": 4', "mxfp4", "nvfp4", '4bit": true'))
    if is_4_bit or method == "awq":
        return "int4"
    raise InputError(
        f"{model}: its weights are quantized in a way that is not known ({method or 'unnamed'}); "
        f"name what comes next to it, --dtype {' or '.join(DTYPES)}"
    )


def _half_format(model: str, gpu: Gpu) -> str:
    """The 16 bits in which an engine computes a model."""
    config = load_config(model)
    is_float16 = config.get("torch_dtype", config.get("dtype")) == "float16"
    return "float16" if is_float16 and "float16" in gpu.peak_flops else gpu.half_dtype


@dataclass(frozen=True)
class Deployment:
    """A model on GPUs under an engine.

    Attributes:
        model: A shipped model's name, or a config.json or its folder.
        gpu: Data sheet of the GPU.
        engine: Short name of the engine.
        gpus: GPUs that share the model.
        dtype: Number format of activations and KV cache.
        quantization: Of the linear layers' weights: "fp8", "int4"; None for the model's own format.
        is_eager: Whether nothing is compiled.
        max_num_seqs: Most requests that run at once; None for the engine's default.
        max_num_batched_tokens: Most tokens that a step feeds; None likewise.
        power_limit_w: Of one GPU [W].
    """

    model: str
    gpu: Gpu
    engine: str
    gpus: int
    dtype: str
    quantization: str | None
    power_limit_w: float
    is_eager: bool = False
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None

    @classmethod
    def of(
        cls, model: str, gpu: Gpu, engine: str = "vllm", gpus: int = 1, dtype: str | None = None
    ) -> "Deployment":
        """A deployment as a user names it.

        Args:
            model: A shipped name or another that says the same, or a config.json.
            gpu: Data sheet.
            engine: "vllm" or "pytorch".
            gpus: GPUs that share the model.
            dtype: One of `DTYPES`; None for that of the published weights: float16 if the config
                says so, else what the GPU multiplies in 16 bits, unless they are quantized.

        Raises:
            InputError: The GPU has no such arithmetic, or so many GPUs cannot share the model.
        """
        own = _half_format(model, gpu)
        asked = own_format(model) or own if dtype is None else dtype
        if asked not in DTYPES:
            raise InputError(f'"{dtype}" is no number format; take one of: {", ".join(DTYPES)}')
        is_quantized = asked in QUANTIZED_BYTES
        deployment = cls(
            model=model_called(model),
            gpu=gpu,
            engine=engine,
            gpus=gpus,
            dtype=own if is_quantized else asked,
            quantization=asked if is_quantized else None,
            power_limit_w=gpu.tdp_w,
        )
        if deployment.compute_dtype not in gpu.peak_flops:
            others = ", ".join([*(name for name in gpu.peak_flops if name in DTYPES), "int4"])
            raise InputError(
                f"{gpu.product}: no peak is known for {deployment.compute_dtype}; take --dtype "
                f"{others}"
            )
        require_shareable(deployment.shape, gpus)
        return deployment

    @cached_property
    def shape(self) -> ModelShape:
        """Sizes of the model."""
        return load_shape(self.model)

    @property
    def compute_dtype(self) -> str:
        """Number format of the linear layers' arithmetic."""
        return COMPUTE_DTYPE.get(self.quantization, self.dtype)

    @property
    def identity(self) -> tuple[object, ...]:
        """What makes it another deployment; the limits of a step and power do not."""
        return (
            self.shape,
            self.gpu.name,
            self.engine,
            self.gpus,
            self.dtype,
            self.quantization,
            self.is_eager,
        )

    def work_of(self, steps: Steps) -> StepWork:
        """What steps take of it."""
        return step_work(steps, self.shape, self.dtype, self.quantization, self.gpus)

    @property
    def is_plain(self) -> bool:
        """Whether one GPU serves the model in its own number format, compiled."""
        return (self.gpus, self.quantization, self.is_eager) == (1, None, False)

    @property
    def launches_every_step(self) -> bool:
        """Whether the host launches every step kernel by kernel."""
        return self.is_eager or self.engine == "pytorch"

    @property
    def gpus_in_words(self) -> str:
        """The maker's name of the GPU, and how many there are."""
        return gpus_in_words(self.gpu.product, self.gpus)

    @property
    def text(self) -> str:
        """In a few words."""
        words = [self.shape.name, self.gpus_in_words, self.engine, self.quantization or self.dtype]
        return ", ".join([*words, "eager"] if self.is_eager else words)

    def on(self, gpus: int) -> "Deployment":
        """The same on another number of GPUs."""
        return replace(self, gpus=gpus)
