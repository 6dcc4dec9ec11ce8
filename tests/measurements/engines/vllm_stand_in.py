"""A stand-in of vLLM that keeps what it was asked."""

import importlib
import sys
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch

BUDGET = 16_384
"""Tokens that vLLM feeds in a step of an H100 where nobody says otherwise."""

WORKER_HAS = {"get_model", "model_runner", "load_model", "execute_model", "worker"}
"""Names that vLLM lets no extension have."""


class StandIn:
    """Looks like vllm.LLM with 28,243 blocks of 16 tokens."""

    asked: ClassVar[dict[str, Any]] = {}

    def __init__(self, **options: Any) -> None:
        StandIn.asked = {"options": options}
        self.resets = 0
        self.renderer = SimpleNamespace(get_tokenizer=None)
        self.llm_engine = SimpleNamespace(
            vllm_config=SimpleNamespace(
                cache_config=SimpleNamespace(
                    num_gpu_blocks=28_243,
                    block_size=16,
                    gpu_memory_utilization=0.92,
                    enable_prefix_caching=options["enable_prefix_caching"],
                ),
                scheduler_config=SimpleNamespace(
                    max_num_seqs=options["max_num_seqs"],
                    max_num_batched_tokens=options.get("max_num_batched_tokens", BUDGET),
                    enable_chunked_prefill=True,
                    async_scheduling=True,
                ),
                model_config=SimpleNamespace(
                    dtype="torch.bfloat16",
                    max_model_len=8704,
                    enforce_eager=options["enforce_eager"],
                    quantization=options.get("quantization"),
                ),
                parallel_config=SimpleNamespace(
                    tensor_parallel_size=options["tensor_parallel_size"]
                ),
                compilation_config=SimpleNamespace(max_cudagraph_capture_size=512),
            ),
            engine_core=SimpleNamespace(
                engine_core=SimpleNamespace(
                    scheduler=SimpleNamespace(
                        schedule=self.schedule,
                        update_from_output=lambda plan, output: None,
                        running=[0] * 7,
                        waiting=[0] * 5,
                        max_num_running_reqs=options["max_num_seqs"],
                        make_spec_decoding_stats=lambda stats, **counts: stats,
                    )
                )
            ),
            step=list,
        )

    def schedule(self) -> SimpleNamespace:
        new = SimpleNamespace(
            req_id="c",
            prompt_token_ids=[1] * 70,
            num_computed_tokens=0,
            sampling_params=SimpleNamespace(max_tokens=1),
        )
        return SimpleNamespace(
            num_scheduled_tokens={"c": 70},
            total_num_scheduled_tokens=70,
            preempted_req_ids={"a", "b"},
            scheduled_new_reqs=[new],
        )

    def collective_rpc(self, method: str, args: tuple = ()) -> list[None]:
        """As vLLM has it: mixes the extension into its worker, and calls the method by its name."""
        path = StandIn.asked["options"]["worker_extension_cls"]
        module, _, name = path.rpartition(".")
        extension = getattr(importlib.import_module(module), name)
        assert not {own for own in dir(extension) if not own.startswith("__")} & WORKER_HAS
        if "workers" not in StandIn.asked:
            own = {"get_model": lambda self: self.model}
            worker_class = type("Worker", (extension,), own)
            gpus = StandIn.asked["options"]["tensor_parallel_size"]
            StandIn.asked["workers"] = [worker_class() for _ in range(gpus)]
            for worker in StandIn.asked["workers"]:
                worker.model, worker.model_runner = a_model(), self._model_runner()
            StandIn.asked["models"] = [worker.model for worker in StandIn.asked["workers"]]
        for worker in StandIn.asked["workers"]:
            getattr(worker, method)(*args)
        return [None] * len(StandIn.asked["workers"])

    def _model_runner(self) -> SimpleNamespace:
        """With a draft and a sampler that holds a rate for each proposed token, if asked."""
        config = StandIn.asked["options"].get("speculative_config")
        if config is None:
            return SimpleNamespace()
        rates = [1.0, *config["synthetic_acceptance_rates"]]
        each = [p / q if q > 0 else 0.0 for p, q in zip(rates[1:], rates[:-1], strict=True)]
        sampler = SimpleNamespace(synthetic_conditional_rates=torch.tensor(each))
        drafter = SimpleNamespace(model=a_model())
        return SimpleNamespace(drafter=drafter, rejection_sampler=sampler)

    def reset_prefix_cache(self) -> bool:
        self.resets += 1
        return True

    def beam_search(self, prompts: list[Any], params: Any) -> list[Any]:
        """As vLLM has it: it asks for a tokenizer, and gives the prompt back with the rest."""
        tokenizer = self.renderer.get_tokenizer()
        assert tokenizer.decode([1]) == ""
        assert tokenizer.eos_token_id not in range(10**6)
        assert params.ignore_eos
        StandIn.asked |= {"prompts": prompts, "beam_width": params.beam_width}
        more = [0] * params.max_tokens
        return [
            SimpleNamespace(
                sequences=[SimpleNamespace(tokens=[*prompt["prompt_token_ids"], *more])]
                * params.beam_width
            )
            for prompt in prompts
        ]

    def generate(self, prompts: list[Any], sampling: Any, use_tqdm: bool) -> list[Any]:
        StandIn.asked |= {"prompts": prompts, "sampling": sampling}
        assert len(prompts) == len(sampling)
        return [
            SimpleNamespace(outputs=[SimpleNamespace(token_ids=[0] * each.max_tokens)])
            for each in sampling
        ]


def a_model() -> Any:
    """A layer and a norm."""
    return torch.nn.ModuleDict(
        {"up": torch.nn.Linear(64, 64), "input_layernorm": torch.nn.LayerNorm(64, bias=False)}
    )


def install(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Have `import vllm` give the stand-in."""
    module = SimpleNamespace(
        LLM=StandIn,
        SamplingParams=SimpleNamespace,
        sampling_params=SimpleNamespace(BeamSearchParams=SimpleNamespace),
        __version__="0.22.0",
    )
    monkeypatch.setitem(sys.modules, "vllm", module)
    return module
