"""How long the steps of an engine last, by the physical work in them.

Of n GPUs, each does an n-th of the work. A step lasts what its parts take one after the other:

    layers launched + cache read + attention + max(weights read, products) + what tokens pass,
    tokens sampled, what the GPUs send each other

of which reading weights and multiplying by them go on at once. No card draws more than its limit
for long, so a step lasts at least as long as its energy takes at that; and one that is launched
kernel by kernel lasts at least as long as the host needs for that. A plan that a step waits for
comes on top, since nothing can be launched meanwhile. docs/prices.md has what was tried.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace

import numpy as np

from joulecast.estimator.steps.host_pace import PIECES_S
from joulecast.estimator.unit_prices.work import StepWork
from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.engines import MAX_BATCH_SIZE

LAUNCH_S = 0.9e-3
"""What the host needs for a dense layer in steps of few requests: the median of ten logs of made-up
traffic, of six dense models on H100s and H200s (0.78 to 1.08), in steps of 513 to 900 tokens after
one that decodes, from when that one begins to the output. With scheduling, sampling and the way
back of what was sampled, it is more than launching alone takes (0.65). Like the constants of
`in_time.py`, it is what `benchmarks/logged_prompts.py` printed on 2026-11-29, rounded."""

EXPERT_LAUNCH_S = 1.45e-3
"""What it needs to launch a layer with experts in steps of few requests: the median of four
logs of made-up traffic, of three mixtures, in steps of 513 to 3,000 tokens after short ones: 1.28
(OLMoE on an H200), 1.39 (on an H100), 1.50 (Qwen3-30B-A3B) and 2.3 ms (Qwen1.5-MoE, whose layers
have a shared expert besides)."""


@dataclass(frozen=True)
class Pace:
    """Seconds that a unit of each kind of work takes on one GPU.

    Attributes:
        weight_byte: Reading weights [s/B].
        cache_byte: Reading the KV cache [s/B].
        wide_cache_byte: What a byte of heads wider than 128 takes more [s/B].
        linear_flop: Products of linear layers in the model's own format [s/FLOP].
        quantized_flop: In 8 bits.
        expert_flop: Of routed experts.
        attention_flop: Of prompts' attention.
        head_flop: Of the output head.
        layer: Running a layer of a recorded graph, however little it does [s].
        layer_token: What a token takes in a layer besides products [s].
        output: A token sampled [s].
        expert: An expert read [s].
        link_byte: A byte sent to other GPUs [s/B].
        link_call: Two GPUs and more waiting for each other once [s].
        host_layer: What the host needs to launch a layer kernel by kernel [s].
        host_expert_layer: The same for a layer with experts [s].
        eager_layer: Where nothing is compiled [s].
        new_shape: What a step of PyTorch waits for a plan of its attention, where its shapes are
            new [s].
    """

    weight_byte: float
    cache_byte: float
    wide_cache_byte: float
    linear_flop: float
    quantized_flop: float
    expert_flop: float
    attention_flop: float
    head_flop: float
    layer: float
    layer_token: float
    output: float
    expert: float
    link_byte: float
    link_call: float
    host_layer: float
    host_expert_layer: float
    eager_layer: float
    new_shape: float = 0.0

    @classmethod
    def of_array(cls, values: FloatArray) -> "Pace":
        """From its fields' values in their order, shape (18,)."""
        return cls(*np.asarray(values, dtype=float).tolist())

    def array(self) -> FloatArray:
        """The values of its fields, shape (18,)."""
        return np.array([getattr(self, field.name) for field in fields(self)])

    def to_dict(self) -> Mapping[str, float]:
        """As plain JSON values."""
        return asdict(self)

    @property
    def with_few_requests(self) -> "Pace":
        """How long launching takes where a step feeds few requests.

        A list's time is of steps of 1,024 requests, where the host has more to do than to launch.
        With few, a dense layer takes no longer than `LAUNCH_S`, and one of experts no longer than
        `EXPERT_LAUNCH_S`.
        """
        return replace(
            self,
            host_layer=min(self.host_layer, LAUNCH_S),
            host_expert_layer=min(self.host_expert_layer, EXPERT_LAUNCH_S),
        )

    def launch_parts(self, work: StepWork, is_eager: bool) -> tuple[FloatArray, FloatArray]:
        """What launching takes where few requests run, and what each token sampled adds.

        With `MAX_BATCH_SIZE` of them that is `launch_seconds`. Both [s], shape (steps,).
        """
        launch = self.with_few_requests.launch_seconds(work, is_eager)
        return launch, (self.launch_seconds(work, is_eager) - launch) / MAX_BATCH_SIZE

    def scaled(self, factors: Mapping[str, float]) -> "Pace":
        """Another pace, some of whose values are so many times as long."""
        return replace(self, **{key: getattr(self, key) * by for key, by in factors.items()})

    def step_seconds(
        self,
        work: StepWork,
        work_j: FloatArray,
        spare_w: float,
        gpus: int = 1,
        is_eager: bool = False,
        host_factor: float = 1.0,
    ) -> FloatArray:
        """How long each step lasts [s], shape (steps,).

        Args:
            work: Of the steps.
            work_j: What the work of each takes beside idle power [J], shape (steps,).
            spare_w: Power that all GPUs together may draw beside idle power [W].
            gpus: How many share the work.
            is_eager: Whether nothing is compiled, so that every step is launched kernel by kernel.
            host_factor: How many times as long the serving host takes to launch.
        """
        products = (
            self.linear_flop * work.of("linear_flops")
            + self.quantized_flop * work.of("quantized_flops")
            + self.expert_flop * work.of("expert_flops")
            + self.head_flop * work.of("head_flops")
        )
        shared = (
            np.maximum(self.weight_byte * work.of("weight_bytes"), products)
            + self.cache_byte * work.of("cache_bytes")
            + self.wide_cache_byte * work.of("wide_cache_bytes")
            + self.attention_flop * work.of("attention_flops")
            + self.expert * work.of("experts_read")
            + self.link_byte * work.of("link_bytes")
            + self.link_call * work.of("link_calls")
        )
        seconds = (
            shared / gpus
            + self.layer * work.layers
            + self.layer_token * work.of("layer_tokens")
            + self.output * work.of("outputs")
        )
        launched = host_factor * self.launch_seconds(work, is_eager)
        busy = np.maximum(np.maximum(seconds, work_j / spare_w), launched)
        return np.asarray(busy + host_factor * self.new_shape)

    def launch_seconds(self, work: StepWork, is_eager: bool) -> FloatArray:
        """What the host needs to launch steps; those of a whole graph nothing [s], (steps,)."""
        if is_eager:
            return np.full(len(work.is_launched), self.eager_layer * work.layers)
        dense_layers = work.layers - work.expert_layers
        launch = self.host_layer * dense_layers + self.host_expert_layer * work.expert_layers
        in_pieces = np.where(work.is_pieced, PIECES_S * work.layers, 0.0)
        return np.where(work.is_launched, launch, in_pieces)
