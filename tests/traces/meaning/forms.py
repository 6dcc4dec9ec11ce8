"""An example of each form, after its public documentation: how it writes one request."""

from collections.abc import Callable, Mapping
from typing import Any

Row = dict[str, Any]
Form = Callable[[int, int, int], Row]
"""Input and output [tokens], and which request it is -> its row."""

NOON = 1_740_830_400
"""2025-03-01 12:00 UTC."""


def iso(k: int) -> str:
    return f"2025-03-01T12:{k // 60:02d}:{k % 60:02d}Z"


def azure(i: int, o: int, k: int) -> Row:
    return {"TIMESTAMP": f"2023-11-16 18:17:{k:02d}.9", "ContextTokens": i, "GeneratedTokens": o}


def burstgpt(i: int, o: int, k: int) -> Row:
    return {"Timestamp": k, "Model": "ChatGPT", "Request tokens": i, "Response tokens": o}


def mooncake(i: int, o: int, k: int) -> Row:
    return {"timestamp": 3000 * k, "input_length": i, "output_length": o, "hash_ids": [k]}


def bailian(i: int, o: int, k: int) -> Row:
    return {
        "chat_id": k,
        "parent_chat_id": -1,
        "timestamp": 61.114 * k,
        "input_length": i,
        "output_length": o,
        "type": "text",
        "turn": 1,
        "hash_ids": [k],
    }


def vidur(i: int, o: int, k: int) -> Row:
    return {"arrived_at": 1.5 * k, "num_prefill_tokens": i, "num_decode_tokens": o}


def llmservingsim(i: int, o: int, k: int) -> Row:
    return {"input_toks": i, "output_toks": o, "arrival_time_ns": 10**9 * k}


def ollama(i: int, o: int, k: int) -> Row:
    return {"model": "llama3.1", "created_at": iso(k), "prompt_eval_count": i, "eval_count": o}


def llama_cpp(i: int, o: int, k: int) -> Row:
    return {"index": k, "tokens_evaluated": i, "tokens_predicted": o, "stop": True}


def openrouter(i: int, o: int, k: int) -> Row:
    return {
        "id": f"gen-{k}",
        "model": "meta-llama/llama-3.1-8b-instruct",
        "created_at": iso(k),
        "tokens_prompt": i,
        "tokens_completion": o,
    }


def litellm(i: int, o: int, k: int) -> Row:
    return {
        "request_id": f"r{k}",
        "call_type": "acompletion",
        "model": "llama-3.1-8b",
        "prompt_tokens": i,
        "completion_tokens": o,
        "total_tokens": i + o,
        "startTime": iso(k),
        "cache_hit": "False",
    }


def completion(i: int, o: int, k: int) -> Row:
    usage = {"prompt_tokens": i, "completion_tokens": o, "total_tokens": i + o}
    return {"id": f"chatcmpl-{k}", "object": "chat.completion", "created": NOON + k, "usage": usage}


def response(i: int, o: int, k: int) -> Row:
    usage = {"input_tokens": i, "output_tokens": o, "total_tokens": i + o}
    return {"id": f"resp_{k}", "object": "response", "created_at": NOON + k, "usage": usage}


def batched(i: int, o: int, k: int) -> Row:
    answer = {"status_code": 200, "request_id": f"q{k}", "body": completion(i, o, k)}
    return {"id": f"batch_req_{k}", "custom_id": f"c{k}", "response": answer}


def anthropic(i: int, o: int, k: int) -> Row:
    usage = {
        "input_tokens": i,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": o,
    }
    return {"id": f"msg_{k}", "type": "message", "model": "claude", "usage": usage}


def claude_code(i: int, o: int, k: int) -> Row:
    message = {"id": f"msg_{k}", "role": "assistant", "usage": anthropic(i, o, k)["usage"]}
    return {"type": "assistant", "sessionId": "s", "timestamp": iso(k), "message": message}


def codex(i: int, o: int, k: int) -> Row:
    usage = {
        "input_tokens": i,
        "cached_input_tokens": 0,
        "output_tokens": o,
        "reasoning_output_tokens": 0,
        "total_tokens": i + o,
    }
    payload = {"type": "token_count", "info": {"last_token_usage": usage}}
    return {"timestamp": iso(k), "type": "event_msg", "payload": payload}


def gemini(i: int, o: int, k: int) -> Row:
    usage = {"promptTokenCount": i, "candidatesTokenCount": o, "totalTokenCount": i + o}
    return {"responseId": f"r{k}", "createTime": iso(k), "usageMetadata": usage}


def bedrock(i: int, o: int, k: int) -> Row:
    return {
        "timestamp": iso(k),
        "requestId": f"r{k}",
        "operation": "Converse",
        "modelId": "meta.llama3-1-8b-instruct-v1:0",
        "input": {"inputContentType": "application/json", "inputTokenCount": i},
        "output": {"outputContentType": "application/json", "outputTokenCount": o},
    }


def langfuse(i: int, o: int, k: int) -> Row:
    usage = {"input": i, "output": o, "total": i + o}
    return {"id": f"obs-{k}", "type": "GENERATION", "startTime": iso(k), "usageDetails": usage}


def langfuse_before(i: int, o: int, k: int) -> Row:
    usage = {"input": i, "output": o, "unit": "TOKENS"}
    return {"id": f"obs-{k}", "startTime": iso(k), "usage": usage}


def phoenix(i: int, o: int, k: int) -> Row:
    return {
        "context.span_id": f"s{k}",
        "start_time": iso(k),
        "attributes.llm.token_count.prompt": i,
        "attributes.llm.token_count.completion": o,
    }


def helicone(i: int, o: int, k: int) -> Row:
    return {
        "request_id": f"r{k}",
        "request_created_at": iso(k),
        "prompt_tokens": i,
        "completion_tokens": o,
    }


def opentelemetry(i: int, o: int, k: int) -> Row:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.response.id": f"r{k}",
        "start_time": iso(k),
        "gen_ai.usage.input_tokens": i,
        "gen_ai.usage.output_tokens": o,
    }


def azure_diagnostics(i: int, o: int, k: int) -> Row:
    return {"TimeGenerated": iso(k), "ModelName": "m", "PromptTokens": i, "CompletionTokens": o}


def plain(i: int, o: int, k: int) -> Row:
    return {"arrival_s": k, "input_tokens": i, "output_tokens": o}


FORMS: Mapping[str, tuple[str, Form]] = {
    form.__name__: (name, form)
    for name, form in (
        ("joulecast", plain),
        ("Azure LLM inference", azure),
        ("BurstGPT", burstgpt),
        ("Mooncake", mooncake),
        ("Qwen-Bailian", bailian),
        ("Vidur", vidur),
        ("LLMServingSim", llmservingsim),
        ("Ollama", ollama),
        ("llama.cpp", llama_cpp),
        ("OpenRouter", openrouter),
        ("OpenAI usage", litellm),
        ("OpenAI completions", completion),
        ("OpenAI responses", response),
        ("OpenAI batch of completions", batched),
        ("Anthropic messages", anthropic),
        ("Claude Code session", claude_code),
        ("Codex session", codex),
        ("Gemini", gemini),
        ("Bedrock invocations", bedrock),
        ("Langfuse", langfuse),
        ("Langfuse", langfuse_before),
        ("Phoenix", phoenix),
        ("OpenAI usage", helicone),
        ("OpenTelemetry", opentelemetry),
        ("OpenAI usage", azure_diagnostics),
    )
}
"""Name of the example -> what its format is called, and how it writes a request."""


def beside_lengths(row: Row, form: Form, values: Row) -> Row:
    """A row with further values in the object that has the input length."""
    path = path_of(form, 1)
    inner = row
    for key in path[:-1]:
        inner = inner[key]
    prefix = path[-1].rpartition(".")[0]
    inner |= {f"{prefix}.{name}" if prefix else name: value for name, value in values.items()}
    return row


def path_of(form: Form, which: int) -> tuple[str, ...]:
    """Keys down to the input (1) or output (2) of a form's rows."""
    marks = {1: 987_651, 2: 987_652}

    def search(value: Any) -> tuple[str, ...] | None:
        if value == marks[which]:
            return ()
        if isinstance(value, dict):
            for key, inner in value.items():
                if (path := search(inner)) is not None:
                    return key, *path
        return None

    path = search(form(marks[1], marks[2], 1))
    assert path is not None
    return path
