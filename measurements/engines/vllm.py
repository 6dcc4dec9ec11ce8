"""vLLM: continuous batching with paged KV cache.

Prompts go in as token ids, output lengths are forced, prefix caching is off but for beam search,
and the engine runs in this process, so that nothing but the batch at hand uses the GPU.
"""

import atexit
import json
import os
import random
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from joulecast.measurements.engines import (
    MAX_BATCH_SIZE,
    Batch,
    DoesNotFitError,
    EngineError,
    EngineRequest,
    EngineSteps,
    EngineVariant,
    one_line,
)
from joulecast.measurements.engines.decoding import GREEDY, AcceptanceCount
from joulecast.measurements.engines.decoding_rules import decoding_settings, require_plain_steps
from joulecast.measurements.engines.random_weights import (
    DRAW,
    SEED,
    SET_ACCEPTANCE,
    WORKER_EXTENSION,
    weights_in_words,
)
from joulecast.measurements.engines.step_log import RawStepLog
from joulecast.measurements.engines.vllm_beams import beam_batch
from joulecast.measurements.engines.vllm_speculation import AcceptanceWatch, speculative_config
from joulecast.measurements.engines.vllm_steps import VllmStepRecorder
from joulecast.measurements.engines.vllm_stream import VllmStream, random_prompts, sampling_of
from joulecast.measurements.models import load_config, load_shape
from joulecast.measurements.shapes.shape import ModelShape

GPU_MEMORY_UTILIZATION = 0.92
_SMALL = 16, 2
"""A request that has kernels compiled [tokens]."""


class VllmEngine:
    """A model loaded into vLLM."""

    name = "vllm"

    def __init__(self, request: EngineRequest) -> None:
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        try:
            import torch
            import vllm
        except ImportError as error:
            raise EngineError(
                f"this engine needs {error.name}; install it with: pip install 'joulecast[vllm]'"
            ) from error
        self._torch, self._vllm = torch, vllm
        self.version = str(vllm.__version__)
        self.weights = weights_in_words(request)
        folder = request.weights or _config_folder(request.config)
        try:
            self._llm = vllm.LLM(
                model=str(folder),
                load_format="auto" if request.weights else "dummy",
                skip_tokenizer_init=True,
                max_model_len=_longest(request),
                gpu_memory_utilization=GPU_MEMORY_UTILIZATION,
                trust_remote_code=False,
                seed=0,
                worker_extension_cls=WORKER_EXTENSION,
                **_options(request.variant),
            )
            if request.weights is None:
                # By name: vLLM sends no function to the processes of several GPUs.
                self._llm.collective_rpc(DRAW)
        except Exception as error:
            raise EngineError(f"vLLM does not start: {one_line(error)}") from error
        self._variant = request.variant
        self._config = self._llm.llm_engine.vllm_config
        self._vocabulary = int(request.config["vocab_size"])
        self._random = random.Random(SEED)  # noqa: S311 - token ids, not secrets
        self._steps: EngineSteps | None = None
        self._step_recorder: VllmStepRecorder | None = None
        self._acceptance: AcceptanceWatch | None = None
        self._most_running: int | None = None
        self._compiled_for: set[tuple[str, int]] = set()

    @property
    def dtype(self) -> str:
        """Number format of activations and KV cache, and of weights that are not quantized."""
        return str(self._config.model_config.dtype).removeprefix("torch.")

    def settings(self) -> dict[str, Any]:
        """Settings as vLLM resolved them."""
        config = self._config
        blocks, block_size = self._blocks()
        return {
            "torch": str(self._torch.__version__),
            "gpu_memory_utilization": config.cache_config.gpu_memory_utilization,
            "kv_cache_tokens": blocks * block_size,
            "kv_block_tokens": block_size,
            "max_num_seqs": config.scheduler_config.max_num_seqs,
            "max_num_batched_tokens": config.scheduler_config.max_num_batched_tokens,
            "chunked_prefill": bool(config.scheduler_config.enable_chunked_prefill),
            "async_scheduling": bool(config.scheduler_config.async_scheduling),
            "max_model_len": config.model_config.max_model_len,
            "eager": bool(config.model_config.enforce_eager),
            "max_cudagraph_capture_size": int(
                config.compilation_config.max_cudagraph_capture_size or 0
            ),
            "prefix_caching": bool(config.cache_config.enable_prefix_caching),
            "tensor_parallel_size": config.parallel_config.tensor_parallel_size,
            "quantization": config.model_config.quantization,
            **decoding_settings(self._variant),
        }

    def capacity(self, input_tokens: int, output_tokens: int) -> int:
        """Requests whose KV cache fits at once, in whole blocks; the last token needs no cache.

        Beams share the whole blocks of their prompt; proposed tokens need cache as others do.
        """
        blocks, block_size = self._blocks()
        width = self._variant.decoding.beam_width
        speculation = self._variant.speculation
        cached = input_tokens + output_tokens - 1 + (speculation.lookahead if speculation else 0)
        shared = input_tokens // block_size if width > 1 else 0
        each = shared + width * (-(-cached // block_size) - shared)
        if each > blocks:
            raise DoesNotFitError(
                f"a request of {input_tokens} + {output_tokens} tokens does not fit into the KV "
                f"cache of {blocks * block_size} tokens"
            )
        most = int(self._config.scheduler_config.max_num_seqs) // width
        return min(MAX_BATCH_SIZE, most, blocks // each)

    def capacity_record(self) -> dict[str, Any]:
        """Nothing is searched for."""
        return {"how": "whole blocks of the KV cache over blocks of a request"}

    def prepare(self, input_tokens: int, output_tokens: int, batch_size: int) -> Batch:
        """A batch of prompts of random token ids, all asked at once.

        Where tokens are drawn or a draft proposes them, vLLM compiles kernels when a number of
        requests first comes; a few small ones have that done here.
        """
        variant, kind = self._variant, (self._variant.decoding.text, batch_size)
        is_drawn = variant.decoding.temperature > 0 or variant.speculation is not None
        if is_drawn and kind not in self._compiled_for:
            self._compiled_for.add(kind)
            self.prepare_requests([_SMALL] * batch_size)()
        return self.prepare_requests([(input_tokens, output_tokens)] * batch_size)

    def prepare_requests(self, lengths: Sequence[tuple[int, int]]) -> Batch:
        """Requests of random token ids, each of its own lengths, all asked at once."""
        ids = random_prompts(self._random, self._vocabulary, [i for i, _ in lengths])
        prompts = [{"prompt_token_ids": prompt} for prompt in ids]
        decoding = self._variant.decoding
        if decoding.is_beam_search:
            return beam_batch(self._vllm, self._llm, prompts, lengths, decoding.beam_width)
        has_draft = self._variant.speculation is not None
        sampling = [sampling_of(self._vllm, tokens, decoding, has_draft) for _, tokens in lengths]

        def run() -> int:
            try:
                outputs = self._llm.generate(prompts, sampling, use_tqdm=False)
            except Exception as error:
                raise EngineError(f"vLLM crashed: {one_line(error)}") from error
            return sum(len(output.outputs[0].token_ids) for output in outputs)

        return run

    def prepare_stream(self, lengths: Sequence[tuple[int, int]]) -> VllmStream:
        """Requests of random token ids, each of its own lengths, to be handed over one by one."""
        inputs, outputs = [i for i, _ in lengths], [o for _, o in lengths]
        prompts = random_prompts(self._random, self._vocabulary, inputs)
        return VllmStream(self._vllm, self._llm, prompts, outputs)

    def retune(self, variant: EngineVariant) -> None:
        """Choose tokens in another way, or accept others, from now on."""
        if variant.speculation is not None:
            self._llm.collective_rpc(SET_ACCEPTANCE, args=(variant.speculation.acceptance,))
        self._variant = variant

    def record_acceptance(self) -> AcceptanceCount:
        """Count what vLLM's own scheduler sees accepted, from now on."""
        if self._variant.speculation is None:
            raise EngineError("this vLLM has no draft whose tokens could be counted")
        if self._acceptance is None:
            try:
                core = self._llm.llm_engine.engine_core.engine_core
                self._acceptance = AcceptanceWatch(core.scheduler)
            except AttributeError as error:
                raise self._scheduler_is_elsewhere("counted", error) from error
        self._acceptance.count = AcceptanceCount()
        return self._acceptance.count

    def limit_running(self, most: int | None) -> None:
        """Have vLLM's scheduler admit no request while so many run, when there is nothing to do.

        What was sized for the number that vLLM was started for stays so: CUDA graphs, buffers.
        """
        started_for = int(self._config.scheduler_config.max_num_seqs)
        if most == self._most_running:
            return
        if most is not None and most > started_for:
            raise EngineError(
                f"vLLM was started for {started_for} requests at once, and {most} are to be in "
                "flight; give a larger --max-num-seqs"
            )
        try:
            scheduler = self._llm.llm_engine.engine_core.engine_core.scheduler
            scheduler.max_num_running_reqs  # noqa: B018 - that it is there
        except AttributeError as error:
            whose = "requests in flight"
            raise self._scheduler_is_elsewhere("limited", error, whose) from error
        scheduler.max_num_running_reqs = most or started_for
        self._most_running = most

    def record_steps(self) -> EngineSteps:
        """Count what vLLM's own scheduler feeds, from now on."""
        if self._steps is None:
            self._watch_scheduler()
        self._steps = EngineSteps()
        return self._steps

    def _watch_scheduler(self) -> None:
        try:
            scheduler = self._llm.llm_engine.engine_core.engine_core.scheduler
            own = scheduler.schedule
        except AttributeError as error:
            raise self._scheduler_is_elsewhere("counted", error) from error

        def schedule(*args: Any, **options: Any) -> Any:
            output = own(*args, **options)
            if self._steps is not None and output.total_num_scheduled_tokens:
                self._steps.steps += 1
                self._steps.tokens += int(output.total_num_scheduled_tokens)
                self._steps.preempted += len(output.preempted_req_ids or ())
            return output

        scheduler.schedule = schedule

    def start_step_log(self) -> None:
        """Keep what each step feeds, from now on, when the engine has nothing to do."""
        require_plain_steps(self._variant)
        if self._step_recorder is None:
            try:
                self._step_recorder = VllmStepRecorder(self._llm.llm_engine)
            except AttributeError as error:
                raise self._scheduler_is_elsewhere("logged", error) from error
        self._step_recorder.start()

    def stop_step_log(self) -> RawStepLog:
        """Keep no more; what was kept since `start_step_log`."""
        if self._step_recorder is None:
            raise EngineError("the log of vLLM's steps was stopped without having been started")
        return self._step_recorder.stop()

    def _scheduler_is_elsewhere(
        self, what: str, error: AttributeError, whose: str = "its steps"
    ) -> EngineError:
        return EngineError(
            f"vLLM {self.version} keeps its scheduler elsewhere, and {whose} cannot be {what}: "
            f"{one_line(error)}"
        )

    def _blocks(self) -> tuple[int, int]:
        """Usable blocks of the KV cache and tokens in each; one block is vLLM's own null block."""
        cache = self._config.cache_config
        return int(cache.num_gpu_blocks) - 1, int(cache.block_size)


def request_bytes(shape: ModelShape, dtype: str, input_tokens: int, output_tokens: int) -> float:
    """Memory that one more request of a batch takes: its KV cache [bytes]."""
    return shape.kv_bytes_per_token(dtype) * (input_tokens + output_tokens)


def load(request: EngineRequest) -> VllmEngine:
    """Start vLLM with a model.

    Raises:
        EngineError: It is not there, does not start, or is to load weights for a draft, too.
    """
    if request.weights is not None and request.variant.speculation is not None:
        raise EngineError(
            "vLLM loads a draft as it loads the model; leave --weights out, so that both are drawn"
        )
    return VllmEngine(request)


def resolve(variant: EngineVariant) -> EngineVariant:
    """What vLLM and we choose: to compile, and as many requests at once as a batch may hold.

    The tokens that a step feeds are left to vLLM, which goes by the GPU.

    Raises:
        EngineError: A step would feed fewer tokens than requests run.
    """
    resolved = replace(
        variant,
        compiled=variant.compiled is not False,
        max_num_seqs=variant.max_num_seqs or MAX_BATCH_SIZE,
    )
    tokens, requests = resolved.max_num_batched_tokens, resolved.max_num_seqs
    if tokens is not None and requests is not None and tokens < requests:
        raise EngineError(
            f"--max-num-batched-tokens {tokens} is less than one token for each of {requests} "
            "requests that may run at once; give a larger one, or a smaller --max-num-seqs"
        )
    return resolved


def start_of(variant: EngineVariant) -> EngineVariant:
    """What an engine of a variant is started as: beam search takes one of its own."""
    return replace(
        variant,
        decoding=variant.decoding if variant.decoding.is_beam_search else GREEDY,
        speculation=variant.speculation and variant.speculation.with_acceptance(0.0),
    )


def _options(variant: EngineVariant) -> dict[str, Any]:
    """What vllm.LLM takes for a variant; what is left to vLLM is left out."""
    options: dict[str, Any] = {
        "enforce_eager": variant.compiled is False,
        "tensor_parallel_size": variant.gpus,
        "quantization": variant.quantization,
        "max_num_seqs": variant.max_num_seqs,
        "max_num_batched_tokens": variant.max_num_batched_tokens,
        "enable_prefix_caching": variant.decoding.is_beam_search,
    }
    if variant.decoding.is_beam_search:
        options["max_logprobs"] = 2 * variant.decoding.beam_width
    if variant.speculation is not None:
        draft = _config_folder(load_config(variant.speculation.draft))
        options["speculative_config"] = speculative_config(variant.speculation, str(draft))
    return {name: value for name, value in options.items() if value is not None}


def _longest(request: EngineRequest) -> int:
    """Longest request, with room for what is proposed after its end [tokens]."""
    if request.variant.speculation is None:
        return request.longest
    longest = request.longest + request.variant.speculation.lookahead + 1
    positions = load_shape(request.model).positions or longest
    return max(request.longest, min(longest, positions))


def _config_folder(config: Mapping[str, Any]) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="joulecast-model-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "config.json").write_text(json.dumps(dict(config)), encoding="utf-8")
    return folder
