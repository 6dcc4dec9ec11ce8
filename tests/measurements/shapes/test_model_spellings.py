"""What others call the models that ship, and what is like one of them and is another."""

import pytest

from joulecast.measurements.models import (
    known_model,
    load_config,
    load_shape,
    model_called,
    model_names,
)
from joulecast.traces.errors import InputError

SPELLINGS = {
    "meta-llama/Llama-3.1-8B-Instruct": "llama-3.1-8b",
    "Qwen/Qwen2.5-7B-Instruct-AWQ": "qwen2.5-7b",
    "together_ai/meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo": "llama-3.1-8b",
    "us.meta.llama3-3-70b-instruct-v1:0": "llama-3.3-70b",
    "meta.llama3-1-8b-instruct-v1:0": "llama-3.1-8b",
    "meta.llama3-1-8b-instruct-v1:0:128k": "llama-3.1-8b",
    "meta.llama3-8b-instruct-v1:0": "llama-3-8b",
    "bedrock/us-gov.meta.llama3-2-1b-instruct-v1:0": "llama-3.2-1b",
    "arn:aws:bedrock:us-east-1::foundation-model/meta.llama3-70b-instruct-v1:0": "llama-3-70b",
    "us.deepseek.r1-v1:0": "deepseek-r1",
    "deepseek.v3-v1:0": "deepseek-v3",
    "openai.gpt-oss-20b-1:0": "gpt-oss-20b",
    "qwen.qwen3-32b-v1:0": "qwen3-32b",
    "mistral.mixtral-8x7b-instruct-v0:1": "mixtral-8x7b",
    "accounts/fireworks/models/llama-v3p3-70b-instruct": "llama-3.3-70b",
    "accounts/fireworks/models/llama-v3-8b-instruct": "llama-3-8b",
    "accounts/fireworks/models/llama-v2-7b-chat": "llama-2-7b",
    "accounts/fireworks/models/qwen2p5-72b-instruct": "qwen2.5-72b",
    "accounts/fireworks/models/deepseek-v3": "deepseek-v3",
    "databricks-meta-llama-3-3-70b-instruct": "llama-3.3-70b",
    "groq/llama-3.1-8b-instant": "llama-3.1-8b",
    "groq:llama-3.3-70b-versatile": "llama-3.3-70b",
    "meta-llama/llama-3.3-70b-instruct:free": "llama-3.3-70b",
    "@cf/meta/llama-3.1-8b-instruct": "llama-3.1-8b",
    "ollama/llama3.1:8b": "llama-3.1-8b",
    "openai/gpt-oss-20b": "gpt-oss-20b",
    "google/gemma-2-9b-it": "gemma-2-9b",
    "mistral-7b-v0.3": "mistral-7b",
    "mistralai/Mistral-7B-Instruct-v0.3": "mistral-7b",
    "mistralai/Mistral-7B-Instruct-v0.1": "mistral-7b-v0.1",
    "mistralai/Mixtral-8x22B-Instruct-v0.1": "mixtral-8x22b",
}
OTHERS = (
    *("", "gpt-4o", "gpt-4", "claude-3-5-sonnet", "7b", "instruct", "meta.", "a/", ":"),
    *("us.meta.llama3-2-11b-instruct-v1:0", "us.meta.llama3-3-8b-instruct-v1:0"),
    *("us.meta.llama3-1-80b-instruct-v1:0", "meta.llama3-13-8b-instruct-v1:0"),
    *("meta.llama4-1-8b-instruct-v1:0", "meta.llama13-1-8b", "meta.llama3-11-8b"),
    *("qwen.qwen3-coder-30b-a3b-v1:0", "us.deepseek.v3-1-v1:0", "deepseek.r2-v1:0"),
    *("accounts/fireworks/models/llama-v3p3-8b-instruct", "llama-v3p11-8b-instruct"),
    *("accounts/fireworks/models/llama-v3p2-11b-vision-instruct", "llama-v4-8b"),
    *("accounts/fireworks/models/deepseek-v3p1", "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"),
    *("mistralai/Mistral-7B-Instruct-v0.2", "mistral.mistral-7b-instruct-v0:2"),
    *("mistral-7b-v0.2", "mistral-7b-v0.33", "mistral-7b-v1.0", "mistral-17b-v0.3"),
    *("mistralai/Mixtral-8x22B-Instruct-v0.3", "llama-3.1-8b-v2.0", "qwen3-1-7b"),
    *("llama-2.7b", "Sheared-LLaMA-2.7B", "olmo-2.7b", "phi-2.7b", "llama-3.18b", "llama-318b"),
    *("gemma-3-1-27b-it", "gemma-2.9b", "Qwen2.5-Math-7B-Instruct", "Qwen2.5-VL-7B-Instruct"),
    *("Qwen2.5-7B-Instruct-1M", "Llama-3.1-8B-Instruct-pruned-4B", "llama-3-8b-instruct-262k"),
    *("gpt-oss-20b-large", "gpt-oss-200b", "nvidia/Llama-3.1-Nemotron-70B-Instruct"),
)


@pytest.mark.parametrize("name", SPELLINGS)
def test_names_that_say_their_model(name: str) -> None:
    assert known_model(name) == SPELLINGS[name]
    assert load_shape(name) == load_shape(SPELLINGS[name])


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_like_a_model_is_none(name: str) -> None:
    assert known_model(name) is None
    with pytest.raises(InputError, match="unknown model"):
        load_config(name)


@pytest.mark.parametrize("model", model_names())
def test_every_model_is_itself_in_every_spelling(model: str) -> None:
    titled = f"maker/{model.title()}-Instruct"
    for name in (model, model.upper(), titled, f"eu.maker.{model}-instruct-v1:0"):
        assert known_model(name) == model


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("mistralai/Mistral-7B-Instruct-v0.2", 'did you mean "mistral-7b"?'),
        ("us.meta.llama3-3-80b-instruct-v1:0", 'did you mean "llama-3.3-70b"?'),
        ("./llama-3.1-8b", 'did you mean "llama-3.1-8b"?'),
        ("/models/llama-3.1-8b", 'did you mean "llama-3.1-8b"?'),
        ("zzz", "name a shipped one, such as llama-3.1-8b, or give a Hugging Face config.json"),
    ],
)
def test_a_name_of_no_model_has_a_hint(name: str, hint: str) -> None:
    with pytest.raises(InputError) as refused:
        model_called(name)
    assert str(refused.value) == f'unknown model "{name}"; {hint}'
