"""A Llama of three small layers, and the real PyTorch engine with it on the CPU."""

import gc
import json
from pathlib import Path
from typing import Any

import torch

from joulecast.measurements.engines import EngineRequest
from joulecast.measurements.engines.memory import Memory
from joulecast.measurements.engines.pytorch import PytorchEngine
from tests.measurements.limited_memory import LimitedMemory

torch.set_num_threads(1)  # on tensors so small, more wait for each other

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "vocab_size": 101,
    "max_position_embeddings": 2048,
    "bos_token_id": 1,
    "eos_token_id": 0,
}


def request(folder: Path, compiled: bool | None = None, **changes: Any) -> EngineRequest:
    folder.mkdir(exist_ok=True)
    asked = {"config": CONFIG, "weights": None, "compiled": compiled, "longest": 2048} | changes
    (folder / "config.json").write_text(json.dumps(asked["config"]))
    return EngineRequest(str(folder), **asked)


def cpu_engine(
    folder: Path, memory: Memory | None = None, compiled: bool | None = None, **changes: Any
) -> PytorchEngine:
    """The memory is only counted within `with memory:`."""
    memory = memory or LimitedMemory(10**12)
    engine = PytorchEngine(request(folder, compiled, **changes), "cpu", memory)
    gc.freeze()  # to look through all of torch for tensors without a holder takes most of a second
    return engine
