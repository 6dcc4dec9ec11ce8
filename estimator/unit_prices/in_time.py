"""The law of `pace.py` and `prices.py` as a simulation in time takes it, a step at a time."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from joulecast.estimator.steps.continuous_batching import graph_padding
from joulecast.estimator.steps.host_pace import PIECES_S
from joulecast.estimator.steps.in_time.state import StepTimes
from joulecast.estimator.steps.work import Steps
from joulecast.estimator.unit_prices.deployment import Deployment
from joulecast.estimator.unit_prices.prices import UnitPrices
from joulecast.estimator.unit_prices.work import TERMS, WIDE_HEAD
from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.shapes.shape import DTYPE_BYTES, ModelShape

FULL_CLOCK = 0.9
"""How long products of linear layers last at full clock, in units of what a price list says, whose
batches are at the power limit. By twelve logs of six dense models on H100s and H200s, where the
card had run at 1,900 MHz and more, in steps of 1,000 to 8,200 tokens between decoding ones: 0.90
in the median, 0.87 to 0.94 up to 8 billion parameters and 0.96 to 0.97 above. Prompts of mixtures
wait for their hosts, and those in 8 bits came out 13 % too short in the one log there is, for 4 %
without: both stay at the limit's pace, without a credit. Two logs of four GPUs, whose products are
smaller, have 1.04 and 1.20: there, launching decides."""

RECOVERY, MOST_CREDIT_S = 0.1, 0.1
"""Of `StepTimes`. Of five shares and three times that were tried, those that leave single prompts
and rows of them, below the limit and near it, least off in fourteen such logs: by up to 3 %."""

THREAD_SHARE = 0.73
"""Of the time from when a step's launch begins to when its last kernel may run, for which one GPU's
thread is at it: then it fetches what the step before put out. By the logs of 88 minutes of requests
as they came (0.73 in the mean, sd 0.17; `benchmarks/logged_hosts.py`). Pieces of a graph take it
all the time (0.96), as eager steps do, whose time a layer is that from one step to the next;
several GPUs have processes that launch."""

UNEVEN, UNEVEN_CACHES = 0.3, 128.0
"""How much longer it takes to read caches of traffic than those of a table's batches, whose
requests are equally long: the caches of two requests and more, up to so many heads of all of them
on a GPU (each is read by a part of it of its own; an H200 has 132); of more, as much as so many
would. The median of fourteen logs of eight heads is 0.28 (0 to 0.94 on H100s, 0.4 to 0.9 on
H200s). That heads count, not requests, was chosen after a look at three logs of Llama-2-7B, whose
32 heads take 1.08 times as long with sixteen requests and more, 1.4 with four."""


def step_times(
    prices: UnitPrices, deployment: Deployment, token_budget: int, graph_tokens: int
) -> StepTimes:
    """How long a step of a deployment lasts, and what its work takes.

    Args:
        prices: Of the GPU.
        deployment: What serves.
        token_budget: Most tokens of a step.
        graph_tokens: Most tokens of a step that is not launched kernel by kernel.
    """
    pace, gpus, shape = prices.pace, deployment.gpus, deployment.shape
    energy_j = dict(zip(TERMS, prices.energy_j.tolist(), strict=True))
    tokens = np.arange(token_budget + 1.0)
    by_tokens = deployment.work_of(_only_tokens(tokens, graph_tokens))
    others = by_tokens.of("quantized_flops") + by_tokens.of("expert_flops")
    is_known = not others.any()
    at_clock = np.where(by_tokens.is_launched & is_known, FULL_CLOCK, 1.0)
    products = (
        at_clock * pace.linear_flop * by_tokens.of("linear_flops")
        + pace.quantized_flop * by_tokens.of("quantized_flops")
        + pace.expert_flop * by_tokens.of("expert_flops")
    )
    shared = (
        pace.expert * by_tokens.of("experts_read")
        + pace.link_byte * by_tokens.of("link_bytes")
        + pace.link_call * by_tokens.of("link_calls")
    )
    alone = pace.layer * by_tokens.layers + pace.layer_token * by_tokens.of("layer_tokens")
    head_flops = 2.0 * shape.head_parameters
    launch, launch_outputs = pace.launch_parts(by_tokens, deployment.launches_every_step)
    kinds = _by_window(shape, deployment)
    cache, wide, pairs = (np.array(column) for column in zip(*kinds.values(), strict=True))
    arrays: dict[str, Any] = {
        "reading": pace.weight_byte * by_tokens.of("weight_bytes") / gpus,
        "products": products / gpus,
        "other": shared / gpus + alone,
        "launch": launch,
        "token_j": prices.energy_j @ by_tokens.amounts,
        "uneven": _uneven(tokens, max(1, shape.key_value_heads // gpus)),
        "context": (pace.cache_byte * cache + pace.wide_cache_byte * wide) / gpus,
        "pair": pace.attention_flop * pairs / gpus,
        "context_j": energy_j["cache_bytes"] * cache + energy_j["wide_cache_bytes"] * wide,
        "pair_j": energy_j["attention_flops"] * pairs,
        "window": np.array(list(kinds)),
    }
    return StepTimes(
        **arrays,
        output=pace.output,
        head=pace.head_flop * head_flops / gpus,
        output_j=energy_j["outputs"] + energy_j["head_flops"] * head_flops,
        launch_output=float(launch_outputs.max()),
        thread_share=1.0 if gpus > 1 or deployment.launches_every_step else THREAD_SHARE,
        pieces=0.0 if deployment.launches_every_step else PIECES_S * by_tokens.layers,
        clock=FULL_CLOCK if is_known else 1.0,
        spare_w=gpus * (deployment.power_limit_w - prices.idle_power_w),
        recovery=RECOVERY,
        most_credit_s=MOST_CREDIT_S if is_known else 0.0,
        is_shared=gpus > 1,
    )


def _uneven(requests: FloatArray, heads: int) -> FloatArray:
    """How many times as long it takes to read the caches of so many requests of uneven lengths.

    Args:
        requests: That decode.
        heads: Key and value heads of each on a GPU.
    """
    share = np.minimum(1.0, UNEVEN_CACHES / np.maximum(1.0, requests * heads))
    return np.where(requests > 1, 1 + UNEVEN * share, 1.0)


def _only_tokens(tokens: FloatArray, graph_tokens: int) -> Steps:
    """Steps of so many tokens with nothing cached, of which none is sampled."""
    nothing, padding = np.zeros(len(tokens)), graph_padding(tokens, graph_tokens)
    is_launched = tokens > graph_tokens
    return Steps(
        tokens, nothing, nothing, nothing, nothing, is_launched, requests=0, padding=padding
    )


def _by_window(
    shape: ModelShape, deployment: Deployment
) -> Mapping[float, tuple[float, float, float]]:
    """What layers of each window [tokens] take, together.

    Returns:
        Window -> bytes of a cached token, those of wide heads among them, FLOPs of a pair.
    """
    copies, each = shape.cache_copies(deployment.gpus), DTYPE_BYTES[deployment.dtype]
    kinds: dict[float, tuple[float, float, float]] = {}
    for layer, count in shape.kinds.items():
        window = np.inf if layer.window is None else float(layer.window)
        cache, wide, pairs = kinds.get(window, (0.0, 0.0, 0.0))
        bytes_ = float(count * layer.cache_width * copies * each)
        is_wide = layer.score_width > WIDE_HEAD * shape.attention_heads
        kinds[window] = (
            cache + bytes_,
            wide + (bytes_ if is_wide else 0.0),
            pairs + 2.0 * count * (layer.score_width + layer.value_width),
        )
    return kinds
