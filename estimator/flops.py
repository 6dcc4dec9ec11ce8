"""FLOPs of one request as a function of its lengths, counted by the DeepSpeed profiler.

A forward pass of q new tokens after n cached ones costs exactly F(q, n) = a q + b q (q + n) + c:
a for the layers that every token passes, b for the query-key pairs of attention, c for the output
head, which runs on the last position alone. A request of I input and O output tokens is one pass of
I tokens and O - 1 passes of one token each, so

    FLOPs(I, O) = a (I + O - 1) + b [I^2 + (O - 1)(I + 1) + (O - 1)(O - 2) / 2] + c O
"""

import copy
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from joulecast.measurements.models import load_config, load_shape
from joulecast.measurements.shapes.architectures import text_config
from joulecast.measurements.shapes.shape import ModelShape
from joulecast.traces.cell_sums import CellSums
from joulecast.traces.errors import InputError
from joulecast.traces.files import write_text
from joulecast.traces.grid import Grid
from joulecast.traces.workload import Workload

CONVENTION = (
    "DeepSpeed profiler on meta tensors: a multiply-add is 2 FLOPs; attention over the full square "
    "(causal masking not subtracted); output head on the last position; O - 1 decode steps; RMS "
    "norms, rotary embedding and biases not counted"
)

SIZES_CONVENTION = (
    "matrix products alone, of linear layers, attention over the full square, and the output head "
    "on the last position; a multiply-add is 2 FLOPs; O - 1 decode steps; the DeepSpeed profiler "
    "adds activation functions, routing and a few more, less than 0.1 % of a token's"
)

_ATTENTION = {"gemma2": "eager", "gpt_oss": "eager"}
"""Of those that have no scaled_dot_product_attention."""

_FIT_POINTS = ((1, 0), (2, 0), (1, 1))
_HELD_OUT_POINTS = ((96, 0), (7, 33))


@dataclass(frozen=True)
class FlopsModel:
    """FLOPs of one model as a function of lengths, counted by the DeepSpeed profiler.

    FLOPs(I, O) = a (I + O - 1) + b [I^2 + (O - 1)(I + 1) + (O - 1)(O - 2) / 2] + c O
    (docs/method.md)

    Attributes:
        model: Short name, or path of the config.
        per_token: a, FLOPs per token fed [FLOP].
        per_pair: b, FLOPs per query-key pair [FLOP].
        per_pass: c, FLOPs per forward pass [FLOP].
    """

    model: str
    per_token: int
    per_pair: int
    per_pass: int

    def forward(self, new_tokens: int, cached_tokens: int) -> int:
        """F(q, n) of one forward pass [FLOP]."""
        pairs = new_tokens * (new_tokens + cached_tokens)
        return self.per_token * new_tokens + self.per_pair * pairs + self.per_pass

    def request(self, input_tokens: int, output_tokens: int) -> int:
        """FLOPs(I, O) of one request, exact [FLOP].

        Args:
            input_tokens: I, 0 or more [tokens].
            output_tokens: O, 1 or more [tokens].
        """
        i, o = input_tokens, output_tokens
        pairs = i * i + (o - 1) * (i + 1) + (o - 1) * (o - 2) // 2
        return self.per_token * (i + o - 1) + self.per_pair * pairs + self.per_pass * o

    def of_sums(self, sums: CellSums) -> int:
        """The sum of FLOPs(i, o) over requests of which the sums are known, exact [FLOP]."""
        n, i, i2, o, o2, io = sums
        pairs = i2 + (io + o - i - n) + (o2 - 3 * o + 2 * n) // 2
        return self.per_token * (i + o - n) + self.per_pair * pairs + self.per_pass * o

    def saved(self, cached_tokens: float, times_input: float) -> float:
        """FLOPs of prompt tokens that are in a cache of prefixes, F(i, 0) - F(i - c, c) [FLOP].

        Args:
            cached_tokens: Sum of c over requests [tokens].
            times_input: Sum of i c [tokens^2].
        """
        return self.per_token * cached_tokens + self.per_pair * times_input

    def grid(self, grid: Grid) -> dict[tuple[int, int], int]:
        """FLOPs of a request of every cell's own lengths [FLOP]."""
        return {(i, o): self.request(i, o) for i, o in grid.cells()}

    def to_dict(self) -> dict[str, Any]:
        """The coefficients, for JSON [FLOP]."""
        return {
            "per_token": self.per_token,
            "per_pair": self.per_pair,
            "per_pass": self.per_pass,
        }


def binned_flops(workload: Workload, flops: FlopsModel) -> int:
    """Sum over cells of N(I*, O*) x FLOPs(I*, O*), requests beyond the grid left out [FLOP]."""
    grid = workload.grid
    return sum(
        sums.requests * flops.request(grid.input_edges[row], grid.output_edges[column])
        for (row, column), sums in workload.cells.items()
        if not workload.is_beyond((row, column))
    )


def stored_models() -> list[str]:
    """Models whose FLOPs are stored."""
    return sorted(_store()["models"])


def load_flops(model: str) -> FlopsModel:
    """The stored law of a shipped model; that of a config.json from its sizes. Neither needs torch.

    Args:
        model: A shipped name such as "llama-3.1-8b", or the path of a Hugging Face config.json or
            of its folder.

    Returns:
        FLOPs of a request as a function of its two lengths [tokens]; `how_counted` says how.

    Raises:
        InputError: Neither stored nor a config; the nearest name is suggested.
    """
    models = _store()["models"]
    return FlopsModel(model, **models[model]) if model in models else law_of_sizes(model)


def law_of_sizes(model: str) -> FlopsModel:
    """The law of a model from its shape: two FLOPs for each weight, and each size of a head.

    Raises:
        InputError: No such model, or its config tells no shape.
    """
    shape = load_shape(model)
    return FlopsModel(
        model, 2 * shape.active_parameters, 2 * shape.pair_width, 2 * shape.head_parameters
    )


def how_counted(model: str) -> tuple[str, str]:
    """What `load_flops` counts as a FLOP for a model, and what it was counted with."""
    store = _store()
    if model not in store["models"]:
        return SIZES_CONVENTION, "from the sizes in its config; --recompute profiles it"
    made = store["provenance"]
    return CONVENTION, (
        f"counted on {made['computed_on']} with deepspeed {made['deepspeed']}, torch "
        f"{made['torch']}, transformers {made['transformers']}"
    )


def profile(model: str) -> FlopsModel:
    """Compute the law of a model with the DeepSpeed profiler.

    Args:
        model: A shipped name, or a Hugging Face config.json (or its folder); its weights are not
            needed, and no code from it is run.

    Raises:
        InputError: The `flops` extra is not installed, or the model does not follow the law.
    """
    with meta_forward(model) as forward:
        count = _deepspeed_counter(forward)
        # F(1, 0) = a + b + c, F(2, 0) = 2 a + 4 b + c, F(1, 1) = a + 2 b + c
        (first, pair, second) = (count(*point) for point in _FIT_POINTS)
        per_pair = second - first
        per_token = pair - first - 3 * per_pair
        law = FlopsModel(model, per_token, per_pair, first - per_token - per_pair)
        for point in _HELD_OUT_POINTS:
            if (counted := count(*point)) != law.forward(*point):
                raise InputError(
                    f"{model}: {point[0]} new tokens after {point[1]} cost {counted} FLOPs, the "
                    f"law says {law.forward(*point)}; this architecture needs a law of its own"
                )
    return law


@dataclass(frozen=True)
class MetaForward:
    """A model on the meta device: shapes without weights, so that passes cost nothing."""

    model: Any
    run: Callable[[int, int], None]


@contextmanager
def meta_forward(model: str) -> Iterator[MetaForward]:
    """A forward pass of q new tokens after n cached ones, to be counted by a profiler.

    Raises:
        InputError: The `flops` extra is not installed, or transformers does not know the model.
    """
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    try:
        import torch
        from transformers import DynamicCache, logging
    except ImportError as error:
        raise InputError(
            f"counting FLOPs needs {error.name}; install it with: pip install 'joulecast[flops]'"
        ) from error
    shape = load_shape(model)
    logging.set_verbosity_error()
    network = _on_meta(model, shape)
    heads, head_size = shape.key_value_heads, shape.layers[0].score_width // shape.attention_heads

    def run(new_tokens: int, cached_tokens: int) -> None:
        cache = DynamicCache()
        for number in range(len(shape.layers) if cached_tokens else 0):
            keys = torch.empty(1, heads, cached_tokens, head_size, device="meta")
            cache.update(keys, keys.clone(), number)
        token_ids = torch.empty(1, new_tokens, dtype=torch.long, device="meta")
        try:
            with torch.no_grad():
                network(token_ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        except (RuntimeError, TypeError, NotImplementedError) as error:
            raise InputError(f"{model}: a forward pass on meta tensors fails ({error})") from error

    yield MetaForward(network, run)


def _on_meta(model: str, shape: ModelShape) -> Any:
    """The model without weights, changed where the profiler would count something twice."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.pytorch_utils import Conv1D

    document = text_config(load_config(model))
    if "kv_lora_rank" in document:
        raise InputError(
            f"{model}: transformers unfolds the latents of all cached tokens in every pass, which "
            "servers do not; leave --recompute out, and its sizes tell"
        )
    # grouped_mm, the default for experts, hides their multiplications from the profiler.
    is_mixture = any(layer.experts for layer in shape.kinds)
    experts = {"experts_implementation": "batched_mm"} if is_mixture else {}
    attention = _ATTENTION.get(document["model_type"], "sdpa")
    try:
        config = AutoConfig.for_model(
            **{key: value for key, value in document.items() if key != "torch_dtype"}
        )
        with torch.device("meta"):
            network = AutoModelForCausalLM.from_config(
                copy.deepcopy(config), attn_implementation=attention, **experts
            ).eval()
    except Exception as error:  # a config of the user's may trip any model code
        raise InputError(f"{model}: transformers cannot build it ({error})") from error
    for parent in list(network.modules()):
        for name, module in parent.named_children():
            # On meta tensors a product with a bias is counted twice, and so is a Conv1D.
            if isinstance(module, Conv1D):
                inputs, outputs = module.weight.shape
                setattr(parent, name, torch.nn.Linear(inputs, outputs, False, device="meta"))
            elif isinstance(module, torch.nn.Linear) or type(module).__name__.endswith("Router"):
                module.register_parameter("bias", None)
    return network


def _deepspeed_counter(forward: MetaForward) -> Callable[[int, int], int]:
    try:
        from deepspeed.profiling.flops_profiler import FlopsProfiler
    except ImportError as error:
        raise InputError(
            f"counting FLOPs needs {error.name}; install it with: pip install 'joulecast[flops]'"
        ) from error

    def count(new_tokens: int, cached_tokens: int) -> int:
        profiler = FlopsProfiler(forward.model)
        profiler.start_profile()
        try:
            forward.run(new_tokens, cached_tokens)
            return int(profiler.get_total_flops())
        finally:
            # A profile left open doubles every later count in the process.
            profiler.end_profile()

    return count


def recompute_store(models: list[str]) -> None:
    """Write flops.json anew for the given models (`make flops`)."""
    packages = {package: version(package) for package in ("deepspeed", "torch", "transformers")}
    today = datetime.now(UTC).date().isoformat()
    document = {
        "provenance": {"convention": CONVENTION, **packages, "computed_on": today},
        "models": {model: profile(model).to_dict() for model in models},
    }
    write_text(_store_path(), json.dumps(document, indent=2) + "\n")


def _store_path() -> Path:
    return Path(str(files("joulecast.estimator") / "flops.json"))


def _store() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(_store_path().read_text(encoding="utf-8"))
    return document


if __name__ == "__main__":
    recompute_store(stored_models())
