"""A two-layer Llama in torch on the CPU, behind the engine protocol: a real engine, only small."""

from collections.abc import Callable
from typing import Any

from measurements.engines import EngineError


class CpuLlama:
    """Greedy static batches through `generate`, forced to exact lengths."""

    name = "cpu-llama"
    version = "1"
    dtype = "bfloat16"
    weights = "drawn from N(0, 0.02)"

    def __init__(self, most_tokens: int = 4096) -> None:
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM

        torch.manual_seed(0)
        config = LlamaConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            vocab_size=101,
            max_position_embeddings=most_tokens,
        )
        self._torch = torch
        self._model = LlamaForCausalLM(config).to(torch.bfloat16).eval()
        self._most_tokens = most_tokens

    def settings(self) -> dict[str, Any]:
        return {"kv_cache_tokens": self._most_tokens}

    def capacity(self, input_tokens: int, output_tokens: int) -> int:
        if input_tokens + output_tokens > self._most_tokens:
            raise EngineError("a request does not fit")
        return min(4, self._most_tokens // (input_tokens + output_tokens))

    def prepare(self, input_tokens: int, output_tokens: int, batch_size: int) -> Callable[[], int]:
        prompts = self._torch.randint(1, 101, (batch_size, input_tokens))

        def run() -> int:
            tokens = self._model.generate(
                prompts,
                attention_mask=self._torch.ones_like(prompts),
                min_new_tokens=output_tokens,
                max_new_tokens=output_tokens,
                do_sample=False,
                eos_token_id=None,
                pad_token_id=0,
            )
            return int(tokens.shape[0] * (tokens.shape[1] - input_tokens))

        return run
