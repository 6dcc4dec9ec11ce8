"""From a Hugging Face config to the shape of its model, architecture by architecture.

What the configs leave out is what the architecture's own defaults are.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from joulecast.measurements.shapes.shape import Layer, ModelShape

Config = Mapping[str, Any]

_TOO_LARGE = 2**31
_MOST_LAYERS = 10_000


@dataclass(frozen=True)
class _Attention:
    """Attention of a layer; attributes as those of `Layer` and `ModelShape`."""

    projections: int
    other: int
    score_width: int
    value_width: int
    cache_width: int
    key_value_heads: int


@dataclass(frozen=True)
class _FeedForward:
    """Feed-forward blocks of a layer; attributes as those of `Layer`."""

    feed_forward: int
    intermediate_width: int
    router: int = 0
    expert: int = 0
    experts: int = 0
    experts_per_token: int = 0
    other: int = 0


def size(config: Config, key: str, otherwise: int | None = None, least: int = 1) -> int:
    """A size in a config; where it lacks, another, or a KeyError."""
    value = config.get(key, otherwise)
    if value is None:
        raise KeyError(key)
    if type(value) is not int or not least <= value < _TOO_LARGE:
        raise ValueError(f'"{key}" is {value!r}, which is no size')
    return value


def _without_none(config: Config) -> dict[str, Any]:
    return {key: value for key, value in config.items() if value is not None}


def _head_size(config: Config) -> int:
    hidden, heads = size(config, "hidden_size"), size(config, "num_attention_heads")
    return size(config, "head_dim", hidden // heads)


def _grouped_attention(config: Config, architecture: "Architecture") -> _Attention:
    """Query heads that share fewer key and value heads."""
    hidden, heads = size(config, "hidden_size"), size(config, "num_attention_heads")
    head, key_heads = _head_size(config), size(config, "num_key_value_heads", heads)
    queries, keys = heads * head, key_heads * head
    has_bias = bool(config.get("attention_bias", False))
    other = 0
    if has_bias if architecture.query_bias is None else architecture.query_bias:
        other += queries + 2 * keys
    if has_bias if architecture.output_bias is None else architecture.output_bias:
        other += hidden
    if architecture.query_norm == "head":
        other += 2 * head
    elif architecture.query_norm == "width":
        other += queries + keys
    other += heads if config["model_type"] == "gpt_oss" else 0  # a sink for each head
    return _Attention(2 * hidden * (queries + keys), other, queries, queries, 2 * keys, key_heads)


def _latent_attention(config: Config, _architecture: "Architecture") -> _Attention:
    """Keys and values from a latent (DeepSeek), which alone is cached, with one rotary key."""
    hidden, heads = size(config, "hidden_size"), size(config, "num_attention_heads")
    latent, rotary = size(config, "kv_lora_rank"), size(config, "qk_rope_head_dim")
    plain, value = size(config, "qk_nope_head_dim"), size(config, "v_head_dim")
    rank, queries = config.get("q_lora_rank"), heads * (plain + rotary)
    projections = hidden * (latent + rotary) + latent * heads * (plain + value)
    projections += heads * value * hidden
    projections += hidden * queries if rank is None else rank * (hidden + queries)
    other = latent + (0 if rank is None else rank)
    return _Attention(projections, other, queries, heads * value, latent + rotary, 1)


def _gated(config: Config, _layer: int) -> _FeedForward:
    """Three matrices: up, gate and down."""
    hidden, width = size(config, "hidden_size"), size(config, "intermediate_size")
    other = 2 * width + hidden if config.get("mlp_bias") else 0
    return _FeedForward(3 * hidden * width, width, other=other)


def _plain(config: Config, _layer: int) -> _FeedForward:
    """Two matrices with biases where the config has them: up and down."""
    hidden = size(config, "hidden_size")
    width = size(config, "ffn_hidden_size", 4 * hidden)
    return _FeedForward(2 * hidden * width, width, other=width + hidden if config["bias"] else 0)


def _mixture(width_key: str = "intermediate_size") -> Callable[[Config, int], _FeedForward]:
    """Experts of which a router chooses some for each token, in every layer but those excepted."""

    def read(config: Config, layer: int) -> _FeedForward:
        every = size(config, "decoder_sparse_step", 1)
        if (layer + 1) % every or layer in config.get("mlp_only_layers", ()):
            return _gated(config, layer)
        hidden, width = size(config, "hidden_size"), size(config, width_key)
        experts = size(
            config, "num_local_experts" if "num_local_experts" in config else "num_experts"
        )
        chosen = _chosen(config, experts)
        shared = size(config, "shared_expert_intermediate_size", 0, least=0)
        other = 0
        if config["model_type"] == "gpt_oss":
            other = experts * (2 * width + hidden + 1)  # biases of experts and router
        return _FeedForward(
            feed_forward=3 * hidden * shared,
            intermediate_width=chosen * width + shared,
            router=hidden * experts + (hidden if shared else 0),  # a gate of the shared one
            expert=3 * hidden * width,
            experts=experts,
            experts_per_token=chosen,
            other=other,
        )

    return read


def _chosen(config: Config, experts: int) -> int:
    """Experts of a token."""
    chosen = size(config, "num_experts_per_tok")
    if chosen > experts:
        raise ValueError(f'"num_experts_per_tok" is {chosen}, and there are {experts} experts')
    return chosen


def _deepseek(config: Config, layer: int) -> _FeedForward:
    """Dense first layers, then shared and routed experts."""
    if layer < size(config, "first_k_dense_replace", 0, least=0):
        return _gated(config, layer)
    hidden, width = size(config, "hidden_size"), size(config, "moe_intermediate_size")
    experts = size(config, "n_routed_experts")
    chosen = _chosen(config, experts)
    shared = width * size(config, "n_shared_experts", 0, least=0)
    return _FeedForward(
        feed_forward=3 * hidden * shared,
        intermediate_width=chosen * width + shared,
        router=hidden * experts,
        expert=3 * hidden * width,
        experts=experts,
        experts_per_token=chosen,
    )


def _falcon_attention(config: Config, architecture: "Architecture") -> _Attention:
    """One key and value head in the older ones, groups in the newer."""
    heads = size(config, "num_attention_heads")
    if config["new_decoder_architecture"]:
        groups = size(config, "num_kv_heads", heads)
    else:
        groups = 1 if config["multi_query"] else heads
    grouped = _grouped_attention({**config, "num_key_value_heads": groups}, architecture)
    hidden, head = size(config, "hidden_size"), _head_size(config)
    norms = 2 if config["new_decoder_architecture"] or not config["parallel_attn"] else 1
    other = 2 * norms * hidden  # layer norms have biases
    if config["bias"]:
        other += (heads + 2 * groups) * head + hidden
    return replace(grouped, other=other)


def _gpt2_config(config: Config) -> dict[str, Any]:
    """The same under the names that other architectures have."""
    hidden = size(config, "n_embd")
    names = {"num_hidden_layers": "n_layer", "num_attention_heads": "n_head"}
    return {
        **config,
        **{name: size(config, key) for name, key in names.items()},
        "hidden_size": hidden,
        "ffn_hidden_size": size(config, "n_inner", 4 * hidden),
        "max_position_embeddings": size(config, "n_positions"),
        "attention_bias": True,
        "bias": True,
    }


def _outside_layers(config: Config, architecture: "Architecture") -> int:
    """Weights of the last norm, and of embedded positions."""
    hidden = size(config, "hidden_size")
    if config["model_type"] == "gpt2":
        return 2 * hidden + hidden * size(config, "n_positions")
    if config["model_type"] == "falcon":
        return 2 * hidden
    return hidden if architecture.norms else 0


def _nowhere(_config: Config, _layer: int) -> int | None:
    return None


def _everywhere(config: Config, _layer: int) -> int | None:
    return size(config, "sliding_window", 0, least=0) or None


def _qwen2_window(config: Config, layer: int) -> int | None:
    is_in_use = config.get("use_sliding_window") and layer >= config.get("max_window_layers", 0)
    return _everywhere(config, layer) if is_in_use else None


def _by_layer_types(config: Config, layer: int) -> int | None:
    """As `layer_types` says; else all layers but every nth, which looks at everything."""
    if "layer_types" in config:
        kinds = config["layer_types"]
        if not isinstance(kinds, list) or len(kinds) != size(config, "num_hidden_layers"):
            raise ValueError('"layer_types" is not one for each layer')
        is_sliding = kinds[layer] == "sliding_attention"
    else:
        is_sliding = bool((layer + 1) % size(config, "sliding_window_pattern"))
    return _everywhere(config, layer) if is_sliding else None


@dataclass(frozen=True)
class Architecture:
    """What sets a family of models apart, beyond the sizes that its configs give.

    Attributes:
        defaults: Keys that configs may leave out, with what they then are.
        query_bias: Whether query, key and value projections have biases; None for the config's own
            `attention_bias`.
        output_bias: The same for the projection of attention's output.
        norms: Weights of a layer's norms, over the width of the model.
        query_norm: "head" for norms of each query and key head, "width" for ones over all heads.
        attention: Reads the attention of a layer.
        feed_forward: Reads the feed-forward blocks of a layer.
        window: Reads the window of a layer.
    """

    defaults: Mapping[str, Any] = field(default_factory=dict)
    query_bias: bool | None = None
    output_bias: bool | None = None
    norms: int = 2
    query_norm: str | None = None
    attention: "Callable[[Config, Architecture], _Attention]" = _grouped_attention
    feed_forward: Callable[[Config, int], _FeedForward] = _gated
    window: Callable[[Config, int], int | None] = _nowhere


_GEMMA = {"head_dim": 256, "tie_word_embeddings": True}
_FALCON = {
    "tie_word_embeddings": True,
    "bias": False,
    "multi_query": True,
    "parallel_attn": True,
    "new_decoder_architecture": False,
}
_MIXTURE, _MIXTURE_OF_ITS_OWN_WIDTH = _mixture(), _mixture("moe_intermediate_size")

ARCHITECTURES: Mapping[str, Architecture] = {
    "llama": Architecture(),
    "mistral": Architecture(window=_everywhere),
    "mixtral": Architecture(feed_forward=_MIXTURE, window=_everywhere),
    "qwen2": Architecture(query_bias=True, output_bias=False, window=_qwen2_window),
    "qwen2_moe": Architecture(
        {"shared_expert_intermediate_size": 5632},
        query_bias=True,
        output_bias=False,
        feed_forward=_MIXTURE_OF_ITS_OWN_WIDTH,
        window=_qwen2_window,
    ),
    "qwen3": Architecture(query_norm="head", window=_qwen2_window),
    "qwen3_moe": Architecture(
        query_norm="head", feed_forward=_MIXTURE_OF_ITS_OWN_WIDTH, window=_qwen2_window
    ),
    "gemma": Architecture(_GEMMA),
    "gemma2": Architecture(
        {**_GEMMA, "sliding_window_pattern": 2}, norms=4, window=_by_layer_types
    ),
    "gemma3_text": Architecture(
        {
            **_GEMMA,
            "sliding_window_pattern": 6,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "vocab_size": 262_208,
            "max_position_embeddings": 131_072,
        },
        norms=4,
        query_norm="head",
        window=_by_layer_types,
    ),
    "phi3": Architecture(window=_everywhere),
    "olmo": Architecture(norms=0),
    "olmo2": Architecture(query_norm="width"),
    "olmoe": Architecture(query_norm="width", feed_forward=_MIXTURE),
    "granite": Architecture(),
    "glm4": Architecture(output_bias=False, norms=4),
    "gpt_oss": Architecture(
        {"attention_bias": True, "sliding_window_pattern": 2},
        feed_forward=_MIXTURE,
        window=_by_layer_types,
    ),
    "deepseek_v2": Architecture(
        {"n_shared_experts": 2}, attention=_latent_attention, feed_forward=_deepseek
    ),
    "deepseek_v3": Architecture(
        {"n_shared_experts": 1}, attention=_latent_attention, feed_forward=_deepseek
    ),
    "gpt2": Architecture({"tie_word_embeddings": True}, norms=4, feed_forward=_plain),
    "falcon": Architecture(
        _FALCON,
        query_bias=False,
        output_bias=False,
        norms=0,
        attention=_falcon_attention,
        feed_forward=_plain,
    ),
}
"""Hugging Face's `model_type` -> what it is."""


def text_config(config: Config) -> Config:
    """The part of a config that is of the text model: all of it, unless the model also sees."""
    text = config.get("text_config")
    return text if isinstance(text, Mapping) else config


def shape_of(name: str, config: Config) -> ModelShape:
    """The shape of a config's text model.

    Raises:
        KeyError: The config lacks a size.
        ValueError: The architecture is not known, or a size cannot be one.
    """
    config = text_config(config)
    model_type = str(config.get("model_type"))
    if model_type not in ARCHITECTURES:
        raise ValueError(
            f'model_type "{model_type}", which is none of {", ".join(sorted(ARCHITECTURES))}'
        )
    architecture = ARCHITECTURES[model_type]
    config = {**architecture.defaults, **_without_none(config)}
    if model_type == "gpt2":
        config = _gpt2_config(config)
    attention = architecture.attention(config, architecture)
    layers = []
    count = size(config, "num_hidden_layers")
    if count > _MOST_LAYERS:
        raise ValueError(f'"num_hidden_layers" is {count}, which no model has')
    for number in range(count):
        blocks = architecture.feed_forward(config, number)
        norms = architecture.norms * size(config, "hidden_size")
        layers.append(
            Layer(
                projections=attention.projections,
                feed_forward=blocks.feed_forward,
                router=blocks.router,
                expert=blocks.expert,
                experts=blocks.experts,
                experts_per_token=blocks.experts_per_token,
                other=attention.other + blocks.other + norms,
                score_width=attention.score_width,
                value_width=attention.value_width,
                cache_width=attention.cache_width,
                window=architecture.window(config, number),
                intermediate_width=blocks.intermediate_width,
            )
        )
    return ModelShape(
        name=name,
        layers=tuple(layers),
        hidden_size=size(config, "hidden_size"),
        attention_heads=size(config, "num_attention_heads"),
        key_value_heads=attention.key_value_heads,
        vocabulary=size(config, "vocab_size"),
        is_tied=bool(config.get("tie_word_embeddings", False)),
        other=_outside_layers(config, architecture),
        positions=size(config, "max_position_embeddings", 0, least=0) or None,
    )
