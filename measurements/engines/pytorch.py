"""Plain PyTorch: static batches through transformers' `generate`, the paper's unoptimised baseline.

A batch goes in as one tensor of equal prompts, is fed whole, and then decodes to exactly the length
asked for. The KV cache is transformers' own, which grows with every step; compiled, it is one of
fixed size. Speculation is a loop of ours, since transformers' own takes one request at a time.
"""

import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from joulecast.measurements.engines import (
    Batch,
    BatchTooLargeError,
    DoesNotFitError,
    EngineError,
    EngineRequest,
    EngineVariant,
    one_line,
)
from joulecast.measurements.engines.capacity_search import CapacitySearch
from joulecast.measurements.engines.decoding import GREEDY, AcceptanceCount
from joulecast.measurements.engines.decoding_rules import decoding_settings, require_plain_steps
from joulecast.measurements.engines.memory import GpuMemory, Memory
from joulecast.measurements.engines.pytorch_model import (
    ATTENTION,
    DTYPE,
    CacheShape,
    build_model,
    cache_shape,
)
from joulecast.measurements.engines.pytorch_speculation import SpeculativeLoop
from joulecast.measurements.engines.pytorch_steps import PytorchStepRecorder
from joulecast.measurements.engines.random_weights import SEED, weights_in_words
from joulecast.measurements.engines.step_log import RawStepLog
from joulecast.measurements.models import load_config, load_shape
from joulecast.measurements.shapes.shape import DTYPE_BYTES, ModelShape

ALLOCATOR = "expandable_segments:True"
"""Without it, a growing cache leaves memory in pieces, and B(I, O) depends on what ran before."""

COMPILE_MODE = "default"
"""transformers' own choice records CUDA graphs, whose memory lies apart: B(I, O) would shrink."""

_ALLOCATOR_VARIABLE = "PYTORCH_ALLOC_CONF"
_STEPS_BEFORE_WINDOW = 32
"""Of a compiled batch: the second compiles, while the GPU goes cold; the others warm it again."""

_LAYERS_RUN = 2


class PytorchEngine:
    """A model in transformers, on one GPU.

    Args:
        request: What to load.
        device: Where to run, as torch names it.
        memory: Of that device.
    """

    name = "pytorch"
    dtype = DTYPE

    def __init__(self, request: EngineRequest, device: str, memory: Memory) -> None:
        import torch
        import transformers

        self._torch, self._transformers = torch, transformers
        self._device, self._memory = device, memory
        self.version = f"transformers {transformers.__version__}"
        self.weights = weights_in_words(request)
        self._variant = request.variant
        self._compiled = bool(request.variant.compiled)
        self._shape = load_shape(request.model)
        self._model = build_model(request.config, request.weights, device)
        self._random = torch.Generator().manual_seed(SEED)
        self._cached = cache_shape(self._model, device)
        self._draft_cached: CacheShape | None = None
        self._speculative = self._load_draft()
        self._search = CapacitySearch(self._fits, self._predicted_batch)
        self._search_seconds = 0.0
        self._step_recorder: PytorchStepRecorder | None = None

    def settings(self) -> dict[str, Any]:
        """Settings of PyTorch and of `generate`."""
        return {
            "torch": str(self._torch.__version__),
            "attention": ATTENTION,
            "decoding": f"static batches, {self._variant.decoding.text}",
            **decoding_settings(self._variant),
            "kv_cache": "static" if self._compiled else "dynamic",
            "compiled": self._compiled,
            **({"compile_mode": COMPILE_MODE} if self._compiled else {}),
            "allocator": os.environ.get(_ALLOCATOR_VARIABLE),
        }

    def capacity(self, input_tokens: int, output_tokens: int) -> int:
        """The largest batch that fits, found by trying."""
        began = time.monotonic()
        try:
            largest = self._search.largest(input_tokens, output_tokens)
        finally:
            self._search_seconds += time.monotonic() - began
        if largest == 0:
            raise DoesNotFitError(
                f"not one request of {input_tokens} + {output_tokens} tokens fits into the GPU's "
                "memory"
            )
        return largest

    def capacity_record(self) -> dict[str, Any]:
        """What the search saw and took."""
        reserve = self._memory.reserve_bytes >> 20
        return {
            "how": f"tried at the peaks of prefill and decoding, {reserve} MiB kept free",
            "gpu_seconds": round(self._search_seconds, 1),
            "tries": self._search.tries,
            "found": [
                [*cell, limits.largest, limits.first_failed]
                for cell, limits in sorted(self._search.limits.items())
            ],
        }

    def prepare(self, input_tokens: int, output_tokens: int, batch_size: int) -> Batch:
        """A batch of prompts of random token ids; compiled for its shape if that was asked for."""
        prompts = self._prompts(batch_size, input_tokens)
        cache = self._static_cache(input_tokens, output_tokens) if self._compiled else None
        asked = f"{batch_size} requests of {input_tokens} + {output_tokens} tokens"

        def generate(new_tokens: int) -> int:
            try:
                if cache is not None:
                    cache.reset()
                if self._step_recorder is not None:
                    self._step_recorder.expect(new_tokens)
                tokens = self._generate(prompts, new_tokens, cache)
                self._synchronize()
            except Exception as error:
                if not _is_out_of_memory(error):
                    raise EngineError(f"PyTorch crashed with {asked}: {one_line(error)}") from error
            else:
                return int(tokens.numel() - prompts.numel())
            # Only here are the frames of the failure gone, and with them what they held.
            self._memory.release()
            raise BatchTooLargeError(f"PyTorch ran out of memory with {asked}")

        if cache is not None:
            self._torch.compiler.reset()
            self._memory.release()
            with warnings.catch_warnings():  # such as that float32 could be faster
                warnings.simplefilter("ignore")
                generate(min(output_tokens, _STEPS_BEFORE_WINDOW))
        return lambda: generate(output_tokens)

    def retune(self, variant: EngineVariant) -> None:
        """Choose tokens in another way, or accept others, from now on."""
        if variant.decoding.beam_width != self._variant.decoding.beam_width:
            self._search = CapacitySearch(self._fits, self._predicted_batch)
        self._variant = variant
        if self._speculative is not None and variant.speculation is not None:
            self._speculative.speculation = variant.speculation

    def record_acceptance(self) -> AcceptanceCount:
        """Count what is accepted, from now on."""
        if self._speculative is None:
            raise EngineError("this PyTorch engine has no draft whose tokens could be counted")
        self._speculative.count = AcceptanceCount()
        return self._speculative.count

    def start_step_log(self) -> None:
        """Keep what each forward pass is fed, from now on."""
        require_plain_steps(self._variant)
        if self._compiled:
            raise EngineError(
                "the steps of a compiled PyTorch model cannot be logged; run it with --eager"
            )
        if self._step_recorder is not None:  # the batch before crashed
            self._step_recorder.stop()
        self._step_recorder = PytorchStepRecorder(self._model, self._synchronize)

    def stop_step_log(self) -> RawStepLog:
        """Keep no more; what was kept since `start_step_log`."""
        if self._step_recorder is None:
            raise EngineError("the log of PyTorch's steps was stopped without having been started")
        recorder, self._step_recorder = self._step_recorder, None
        return recorder.stop()

    def _load_draft(self) -> SpeculativeLoop | None:
        speculation = self._variant.speculation
        if speculation is None:
            return None
        draft = build_model(load_config(speculation.draft), None, self._device)
        self._draft_cached = cache_shape(draft, self._device)
        return SpeculativeLoop(self._torch, self._model, draft, speculation, SEED)

    def _prompts(self, batch_size: int, tokens: int) -> Any:
        shape = batch_size, tokens
        drawn = self._torch.randint(self._shape.vocabulary, shape, generator=self._random)
        return drawn.to(self._device)

    def _generate(self, prompts: Any, new_tokens: int, cache: Any, compiled: bool = True) -> Any:
        """Prompts and what follows, shape (requests, input + new tokens)."""
        if self._speculative is not None:
            return self._speculative.generate(prompts, new_tokens)
        decoding = self._variant.decoding
        compiled = compiled and self._compiled
        how = self._transformers.CompileConfig(mode=COMPILE_MODE) if compiled else None
        config = self._transformers.GenerationConfig(
            max_new_tokens=new_tokens,
            do_sample=decoding.temperature > 0,
            temperature=decoding.temperature or None,
            top_p=decoding.top_p if decoding.top_p < 1 else None,
            top_k=0 if decoding.temperature > 0 else None,
            num_beams=decoding.beam_width,
            eos_token_id=None,
            pad_token_id=0,
            disable_compile=not compiled,
            compile_config=how,
        )
        return self._model.generate(
            prompts,
            attention_mask=self._torch.ones_like(prompts),
            generation_config=config,
            past_key_values=cache,
        )

    def _static_cache(self, input_tokens: int, output_tokens: int) -> Any:
        """A cache that holds all but the last token, which is never read."""
        return self._transformers.StaticCache(
            config=self._model.config, max_cache_len=input_tokens + output_tokens - 1
        )

    def _synchronize(self) -> None:
        if self._device != "cpu":
            self._torch.cuda.synchronize()

    def _predicted_batch(self, input_tokens: int, output_tokens: int) -> float:
        each = request_bytes(self._shape, DTYPE, input_tokens, output_tokens)
        return max(1.0, (self._memory.free_bytes() - self._memory.reserve_bytes) / each)

    def _fits(self, input_tokens: int, output_tokens: int, batch_size: int) -> bool:
        """Run the two moments at which a batch takes most memory: its prefill, its last two steps.

        Layers are alike and run one after another. So the caches of all but two are held as they
        would be, and the first two run for them all, which takes no time to speak of. Two, since
        from the second on the embedded prompt is held beside a layer's own input.
        """
        try:
            with self._few_layers():
                self._run_peaks(input_tokens, output_tokens, batch_size)
        except Exception as error:
            if not _is_out_of_memory(error):
                raise EngineError(f"PyTorch crashed: {one_line(error)}") from error
        else:
            return True
        # Only here are the frames of the failure gone, and with them the tensors that they held.
        self._memory.release()
        return False

    def _run_peaks(self, input_tokens: int, output_tokens: int, batch_size: int) -> None:
        prompts = self._prompts(batch_size, input_tokens)
        cached = input_tokens + output_tokens - 1
        rows = batch_size * self._variant.decoding.beam_width
        if self._speculative is not None:
            slots = cached + self._speculative.speculation.lookahead + 1
            other_layers = self._hold_other_layers(rows, slots)
            self._speculative.run_peaks(prompts, output_tokens)
            del other_layers
            self._synchronize()
            return
        # Two steps, since what one step made of its tokens is still held during the next.
        if self._compiled:
            other_layers = self._hold_other_layers(rows, cached)
            cache = self._static_cache(input_tokens, output_tokens)
            self._generate(prompts, min(2, output_tokens), cache, compiled=False)
        else:
            other_layers = self._hold_other_layers(rows, input_tokens)
            self._generate(prompts, min(2, output_tokens) if cached <= 2 else 1, None)
            if output_tokens > 1 and cached > 2:
                del other_layers
                other_layers = self._hold_other_layers(rows, cached)
                cache = self._filled_cache(rows, cached - 2)
                self._generate(self._prompts(batch_size, cached - 1), 2, cache)
        del other_layers
        self._synchronize()

    def _filled_cache(self, batch_size: int, tokens: int) -> Any:
        """A growing cache that holds so many tokens, in the layers that run."""
        # A zero expanded takes no memory before it is copied into the cache.
        zero = self._torch.zeros(1, dtype=getattr(self._torch, DTYPE), device=self._device)
        keys, values = (
            zero.expand(batch_size, self._cached.heads, tokens, size)
            for size in (self._cached.key_size, self._cached.value_size)
        )
        cache = self._transformers.DynamicCache(config=self._model.config)
        for layer in range(min(_LAYERS_RUN, self._cached.layers)):
            cache.update(keys, values, layer)
        return cache

    def _hold_other_layers(self, rows: int, tokens: int) -> Any:
        """Memory as the caches of all other layers take it, the draft's too, and the reserve."""
        caches = [self._cached, *([self._draft_cached] if self._draft_cached else [])]
        token_bytes = sum(max(0, each.layers - _LAYERS_RUN) * each.layer_bytes for each in caches)
        total = rows * tokens * token_bytes + self._memory.reserve_bytes
        return self._torch.empty(total, dtype=self._torch.uint8, device=self._device)

    @contextmanager
    def _few_layers(self) -> Iterator[None]:
        models = [self._model, *([self._speculative.draft] if self._speculative else [])]
        decoders = [model.get_decoder() for model in models]
        whole = [decoder.layers for decoder in decoders]
        for decoder, layers in zip(decoders, whole, strict=True):
            decoder.layers = layers[:_LAYERS_RUN]
        try:
            yield
        finally:
            for decoder, layers in zip(decoders, whole, strict=True):
                decoder.layers = layers


def request_bytes(shape: ModelShape, dtype: str, input_tokens: int, output_tokens: int) -> float:
    """About how much memory one more request of a batch takes at its peak [bytes].

    Either the whole prompt is in one layer's feed-forward block (gate, up and their product beside
    what was embedded, went in, was added and was normed) while the cache holds it, or the cache is
    at its longest, with one layer's keys or values twice while they are copied.
    """
    cache = shape.kv_bytes_per_token(dtype)
    width = 3 * shape.intermediate_width + 4 * shape.hidden_size
    prefill = input_tokens * (cache + DTYPE_BYTES[dtype] * width)
    decoding = (input_tokens + output_tokens - 1) * cache * (1 + 1 / (2 * len(shape.layers)))
    return max(prefill, decoding)


def resolve(variant: EngineVariant) -> EngineVariant:
    """What plain PyTorch does by itself: it does not compile.

    Raises:
        EngineError: The variant asks for what only vLLM has.
    """
    if variant.gpus > 1:
        raise EngineError("the pytorch engine runs on one GPU; name one with --gpu")
    for name in ("quantization", "max_num_seqs", "max_num_batched_tokens"):
        if getattr(variant, name) is not None:
            option = "--" + name.replace("_", "-")
            raise EngineError(
                f"the pytorch engine has no {option}; leave it out, or take --engine vllm"
            )
    resolved = replace(variant, compiled=bool(variant.compiled))
    if resolved.compiled and (resolved.decoding.is_beam_search or resolved.speculation):
        raise EngineError(
            "the pytorch engine compiles neither beam search nor speculation; leave --compile out"
        )
    return resolved


def start_of(variant: EngineVariant) -> EngineVariant:
    """What an engine of a variant is started as: all that `retune` changes is left at its least."""
    return replace(
        variant,
        decoding=GREEDY,
        speculation=variant.speculation and variant.speculation.with_acceptance(0.0),
    )


def load(request: EngineRequest) -> PytorchEngine:
    """Load a model into PyTorch.

    Raises:
        EngineError: PyTorch or transformers is not there, sees no GPU, or cannot load the model.
    """
    os.environ.setdefault(_ALLOCATOR_VARIABLE, ALLOCATOR)
    try:
        import torch
        import transformers  # noqa: F401 - the engine needs it
    except ImportError as error:
        raise EngineError(
            f"this engine needs {error.name}; install it with: pip install 'joulecast[measure]'"
        ) from error
    if not torch.cuda.is_available():
        raise EngineError(
            f"PyTorch {torch.__version__} sees no CUDA GPU; install a build of it with CUDA"
        )
    return PytorchEngine(request, "cuda", GpuMemory())


def _is_out_of_memory(error: Exception) -> bool:
    """Whether an error is one of memory: PyTorch's own, or a CUDA library's."""
    import torch

    libraries = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in libraries)
    )
