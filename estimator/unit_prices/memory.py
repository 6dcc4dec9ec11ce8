"""What of a GPU's memory is left to the KV cache of vLLM, where that was not measured.

    cache = utilization x memory - weights - what a step needs at once

A step needs logits of all running requests, what the largest step keeps of its tokens between
layers and within a feed-forward block, and room for the graphs of each layer. The five prices are
fitted to what vLLM 0.22 told on H100s and H200s; docs/prices.md has how near that comes.
"""

from dataclasses import dataclass

from joulecast.estimator.steps.continuous_batching import ContinuousBatching
from joulecast.estimator.unit_prices.deployment import Deployment
from joulecast.measurements.engines import can_share
from joulecast.measurements.shapes.shape import ModelShape
from joulecast.traces.errors import InputError

UTILIZATION = 0.92
"""Share of the memory that vLLM takes by default."""

BLOCK_TOKENS = 16

GPU_COUNTS = (1, 2, 4, 8)
"""Of the GPUs of a server, that share a model where their number is left open."""

SHOWN_OF_MEMORY = 0.9957
"""What NVML shows, over the data sheet's GB taken as GiB: 81,559 MiB of 80 on the H100, 143,771 of
141 on the H200."""

FIXED_BYTES = 0.846e9
LOGITS = 2.768
MLP = 0.261
RESIDUAL = 2.067
LAYER_BYTES = 22.5e6

_LARGE_BYTES = 70 * 2**30
"""From here on vLLM feeds more tokens and requests at a time, except on A100s."""


@dataclass(frozen=True)
class Limits:
    """Defaults of vLLM for offline use.

    Attributes:
        requests: Most that run at once.
        tokens: Most that a step feeds.
    """

    requests: int
    tokens: int


def default_limits(deployment: Deployment) -> Limits:
    """What vLLM 0.22 chooses for a GPU, as `LLM` does; or what was asked for."""
    gpu = deployment.gpu
    is_large = memory_bytes(deployment) >= _LARGE_BYTES and "A100" not in gpu.product
    limits = Limits(1024, 16_384) if is_large else Limits(256, 8192)
    requests = deployment.max_num_seqs or limits.requests
    return Limits(requests, max(requests, deployment.max_num_batched_tokens or limits.tokens))


def memory_bytes(deployment: Deployment) -> float:
    """What NVML shows of one GPU's memory [B]."""
    gpu = deployment.gpu
    return gpu.shown_memory_bytes or gpu.memory_bytes / 1e9 * 2**30 * SHOWN_OF_MEMORY


def working_bytes(deployment: Deployment) -> float:
    """What the largest step needs at once, of one GPU [B]."""
    shape, limits = deployment.shape, default_limits(deployment)
    widths = [
        (layer.feed_forward + layer.experts_per_token * layer.expert) / shape.hidden_size
        for layer in shape.kinds
    ]
    copies = max(max(1, layer.experts_per_token) for layer in shape.kinds)
    logits = 4.0 * shape.vocabulary * limits.requests
    mlp = 2.0 * limits.tokens * max(widths) / deployment.gpus
    residual = 2.0 * limits.tokens * shape.hidden_size * copies
    layers = len(shape.layers)
    return FIXED_BYTES + LOGITS * logits + MLP * mlp + RESIDUAL * residual + LAYER_BYTES * layers


def cache_bytes(deployment: Deployment) -> float:
    """What is left to the KV cache, of all GPUs together [B]; less than 0 if weights do not fit."""
    weights = deployment.shape.weight_bytes(deployment.dtype, deployment.quantization)
    taken = UTILIZATION * memory_bytes(deployment) - working_bytes(deployment)
    return deployment.gpus * taken - weights


def bytes_per_token(shape: ModelShape, dtype: str, request_tokens: float) -> float:
    """What a token of a request of such a length takes of the cache [B].

    Layers with a window keep no more of a request than that.
    """
    whole = shape.kv_bytes_per_token(dtype)
    widths = sum(n * layer.cache_width for layer, n in shape.kinds.items())
    kept = sum(
        n * layer.cache_width * min(1.0, (layer.window or request_tokens) / request_tokens)
        for layer, n in shape.kinds.items()
    )
    return whole * kept / widths


def cache_tokens(deployment: Deployment, request_tokens: float = 1.0) -> int:
    """Tokens that the KV cache holds, of requests of such a length; 0 if weights do not fit."""
    each = bytes_per_token(deployment.shape, deployment.dtype, max(1.0, request_tokens))
    left = cache_bytes(deployment) / (each * deployment.shape.cache_copies(deployment.gpus))
    return max(0, int(left) // BLOCK_TOKENS * BLOCK_TOKENS)


def scheduler_for(deployment: Deployment, request_tokens: float) -> ContinuousBatching:
    """The scheduler of a deployment that nobody measured, with the engine's defaults.

    Args:
        deployment: What serves.
        request_tokens: Mean length of the requests, input and output [tokens].

    Raises:
        InputError: The GPUs do not hold the model; how many would is said.
    """
    limits = default_limits(deployment)
    tokens = cache_tokens(deployment, request_tokens)
    if tokens < BLOCK_TOKENS:
        raise InputError(does_not_fit_text(deployment))
    return ContinuousBatching(
        token_budget=limits.tokens,
        most_requests=limits.requests,
        cache_blocks=tokens // BLOCK_TOKENS,
        block_tokens=BLOCK_TOKENS,
        graph_tokens=0 if deployment.is_eager else ContinuousBatching.graph_tokens,
    )


def fewest_gpus(deployment: Deployment) -> int:
    """The fewest of `GPU_COUNTS` that hold the model and a KV cache; 1 if none of them does."""
    if deployment.engine == "pytorch":
        return 1  # plain PyTorch runs on one alone
    for count in GPU_COUNTS:
        is_shared = can_share(deployment.shape, count)
        if is_shared and cache_tokens(deployment.on(count)) >= BLOCK_TOKENS:
            return count
    return 1


def does_not_fit_text(deployment: Deployment) -> str:
    """Why a deployment cannot be, and how many GPUs could."""
    shape, gpu = deployment.shape, deployment.gpu
    weights = shape.weight_bytes(deployment.dtype, deployment.quantization)
    cards = "one" if deployment.gpus == 1 else f"{deployment.gpus}"
    text = (
        f"{shape.name}: its weights take {weights / 1e9:,.0f} GB, and {cards} {gpu.product} of "
        f"{gpu.memory_bytes / 1e9:,.0f} GB cannot hold them and a KV cache"
    )
    for count in (2, 4, 8, 16, 32, 64):
        is_more = count > deployment.gpus and can_share(shape, count)
        if is_more and cache_tokens(deployment.on(count)) >= BLOCK_TOKENS:
            return f"{text}; {count} could: --gpus {count}"
    smaller = "; 4-bit weights are smaller: --dtype int4"
    return f"{text}, nor can 64{'' if deployment.quantization == 'int4' else smaller}"
