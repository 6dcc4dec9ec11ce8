"""What rows and columns mean: the right value of each kind, or a line that can be followed."""

import json
from pathlib import Path
from typing import Any

import pytest

from joulecast.traces.errors import InputError
from joulecast.traces.load import LoadedTrace, load_trace
from joulecast.traces.reading.meaning.where import parse_where


def read(folder: Path, text: str | list[dict[str, Any]], **options) -> LoadedTrace:
    path = folder / "log"
    if not isinstance(text, str):
        text = "".join(json.dumps(row) + "\n" for row in text)
    path.write_text(text)
    return load_trace(path, most_lengths=10_000, **options)


def sums(loaded: LoadedTrace) -> tuple[int, int, int]:
    total = loaded.workload.total
    return total.requests, total.input_tokens, total.output_tokens


def notes(loaded: LoadedTrace) -> str:
    assert loaded.reading is not None
    return "\n".join(loaded.reading.notes)


def usage(values: dict[str, Any], **row: Any) -> dict[str, Any]:
    return {**row, "usage": values}


AGGREGATED = (
    "start_time,end_time,num_model_requests,model,input_tokens,output_tokens,input_cached_tokens\n"
    "1756684800,1756688400,12,llama-3.1-8b,40000,9000,0\n"
    "1756688400,1756692000,20,llama-3.1-8b,66000,15000,0\n"
)


def test_rows_that_sum_requests_are_so_many(tmp_path: Path) -> None:
    loaded = read(tmp_path, AGGREGATED)
    assert sums(loaded) == (32, 106_000, 24_000)
    assert loaded.lengths is not None
    assert sorted({*loaded.lengths[:12, 0].tolist()}) == [3333, 3334]
    assert '"num_model_requests" says how many requests a row sums' in notes(loaded)
    assert loaded.workload.arrivals is None
    assert sums(read(tmp_path, AGGREGATED, count_column="none"))[0] == 2


def test_named_columns_are_sums_too(tmp_path: Path) -> None:
    text = "timestamp,context_total,generated_total,queries\n2025-03-01,10000,2000,10\n"
    named = {"input_column": "context_total", "output_column": "generated_total"}
    assert sums(read(tmp_path, text, **named)) == (1, 10_000, 2_000)
    assert sums(read(tmp_path, text, count_column="queries", **named)) == (10, 10_000, 2_000)


@pytest.mark.parametrize("count", ["", "1.5", "-2", "many"])
def test_counts_that_are_none_are_refused(count: str, tmp_path: Path) -> None:
    text = f"input_tokens,output_tokens,num_requests\n10,5,2\n10,5,{count}\n"
    if count == "":
        assert sums(read(tmp_path, text)) == (2, 10, 5)
        return
    with pytest.raises(InputError, match="1 of 2 rows have no such number there"):
        read(tmp_path, text)


def test_chunks_of_an_answer_are_one_request(tmp_path: Path) -> None:
    chunks = [
        usage({"prompt_tokens": 812, "completion_tokens": k}, id="chatcmpl-1")
        for k in range(1, 101)
    ]
    loaded = read(tmp_path, chunks)
    assert sums(loaded) == (1, 812, 100)
    assert '99 rows repeat a name ("id")' in notes(loaded)
    assert sums(read(tmp_path, chunks, id_column="none"))[0] == 100


def test_names_with_other_inputs_are_requests(tmp_path: Path) -> None:
    """A name that a conversation has, say, is none of a request."""
    rows = [usage({"prompt_tokens": 100 * k, "completion_tokens": 5}, id="c") for k in range(1, 4)]
    loaded = read(tmp_path, rows)
    assert sums(loaded) == (3, 600, 15)
    assert "2 rows have a name" in notes(loaded)


def test_what_a_cache_of_prefixes_gave_is_input(tmp_path: Path) -> None:
    """Anthropic leaves it out of its inputs, OpenAI does not."""
    anthropic = {
        "input_tokens": 100,
        "cache_read_input_tokens": 900,
        "cache_creation_input_tokens": 50_000,
        "output_tokens": 20,
    }
    loaded = read(tmp_path, [usage(anthropic)])
    assert sums(loaded) == (1, 51_000, 20)
    assert loaded.reading is not None
    assert loaded.reading.columns["input"] == (
        "usage.input_tokens",
        "usage.cache_read_input_tokens",
        "usage.cache_creation_input_tokens",
    )
    openai = {"prompt_tokens": 10_000, "completion_tokens": 100}
    details = {"prompt_tokens_details": {"cached_tokens": 9_900}}
    loaded = read(tmp_path, [usage({**openai, **details})])
    assert sums(loaded) == (1, 10_000, 100)
    assert loaded.reading is not None
    assert loaded.reading.columns["cached"] == ("usage.prompt_tokens_details.cached_tokens",)


def test_thoughts_are_outputs(tmp_path: Path) -> None:
    text = "prompt_tokens,completion_tokens,thoughts_tokens\n2153,1066.0,3270\n3050,288.0,300\n"
    assert sums(read(tmp_path, text)) == (2, 5203, 4924)


def test_reasoning_is_an_output_where_it_is_longer(tmp_path: Path) -> None:
    header = "prompt_tokens,completion_tokens,reasoning_tokens\n"
    assert sums(read(tmp_path, header + "10,100,64\n10,50,20\n")) == (2, 20, 150)
    loaded = read(tmp_path, header + "10,100,640\n10,50,200\n")
    assert sums(loaded) == (2, 20, 990)
    assert '"reasoning_tokens" is not within "completion_tokens"' in notes(loaded)


def test_totals_tell_what_is_within_what(tmp_path: Path) -> None:
    header = "prompt_tokens,completion_tokens,thoughts_tokens,reasoning_tokens,total_tokens\n"
    loaded = read(tmp_path, header + "10,100,30,0,110\n10,50,20,0,60\n")
    assert sums(loaded) == (2, 20, 150)
    assert '"thoughts_tokens" is not added to lengths' in notes(loaded)
    loaded = read(tmp_path, header + "10,100,0,30,140\n10,50,0,20,80\n")
    assert sums(loaded) == (2, 20, 200)
    loaded = read(tmp_path, header + "10,100,0,0,500\n10,50,0,0,60\n")
    assert '"total_tokens" is not the sum of input and output in 1 of 2 rows' in notes(loaded)


MIXED = (
    "request_id,call_type,total_tokens,prompt_tokens,completion_tokens,startTime,model,cache_hit\n"
    "c1,acompletion,976,812,164,2025-03-01 09:00:00.25,llama-3.1-8b,False\n"
    "c2,acompletion,405,95,310,2025-03-01 09:00:03.5,gpt-4o,False\n"
    "c4,aembedding,500,500,0,2025-03-01 09:00:04.75,text-embedding,False\n"
    "c5,acompletion,976,812,164,2025-03-02 09:00:00.25,llama-3.1-8b,True\n"
)


def test_other_calls_and_cached_answers_cost_nothing(tmp_path: Path) -> None:
    loaded = read(tmp_path, MIXED)
    assert sums(loaded) == (2, 907, 474)
    assert loaded.reading is not None
    assert loaded.reading.left_out == {"other calls": 1, "cached answers": 1}
    assert loaded.reading.models == {"gpt-4o": 1, "llama-3.1-8b": 1}
    assert '2 models in "model" (gpt-4o 1, llama-3.1-8b 1)' in notes(loaded)
    loaded = read(tmp_path, MIXED, where='model = "llama-3.1-8b"')
    assert sums(loaded) == (1, 812, 164)
    assert "2 rows left out: not meeting --where" in notes(loaded)


@pytest.mark.parametrize(
    ("where", "requests"),
    [
        ("model = llama-3.1-8b", 1),
        ("model != 'llama-3.1-8b'", 1),
        ("Model ~ LLAMA and prompt_tokens > 100", 1),
        ("prompt_tokens >= 95", 2),
        ("prompt_tokens in (95, 96) and model in ('gpt-4o', other)", 1),
        ('"call_type" == "acompletion"', 2),
    ],
)
def test_conditions(where: str, requests: int, tmp_path: Path) -> None:
    assert sums(read(tmp_path, MIXED, where=where))[0] == requests


@pytest.mark.parametrize(
    ("where", "problem"),
    [
        ("", "is not understood"),
        ("model", "is not understood"),
        ("model = ", "is not understood"),
        ("model = a or model = b", "is not understood from 'or model = b' on"),
        ("modle = a", 'has no column "modle"'),
        ("model = nobody", "no row meets --where model = nobody"),
        ("1; DROP TABLE x", "is not understood"),
        ("model = a and", "is not understood from 'and' on"),
        ("model = a and and model = b", "is not understood from ' and model = b' on"),
    ],
)
def test_conditions_that_cannot_be_met(where: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=problem):
        read(tmp_path, MIXED, where=where)


@pytest.mark.parametrize(("where", "inputs"), [('user = ""', 7), ("user != ''", 3)])
def test_values_that_are_missing(where: str, inputs: int, tmp_path: Path) -> None:
    text = "input_tokens,output_tokens,user\n1,1,a\n2,1,none\n7,1,\n"
    assert sums(read(tmp_path, text, where=where))[1] == inputs
    groups = read(tmp_path, text, group_by="user").groups
    assert groups is not None
    assert sorted(groups) == ["(none)", "a", "none"]


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ('"a b" == 7 and c != "7"', '"a b" = 7 and c <> "7"'),
        ("m ~ 'x, y' and n in (1, 2.5)", 'm ~ "x, y" and n in (1, 2.5)'),
        ("m IN (1, a) and n = ''", 'm in ("1", a) and n = ""'),
        ("m = 'say \"it\"' and n >= -1e3", 'm = "say ""it""" and n >= -1e3'),
    ],
)
def test_conditions_are_told_as_they_are_taken(where: str, text: str) -> None:
    conditions = parse_where(where)
    assert " and ".join(condition.text for condition in conditions) == text
    assert parse_where(text) == conditions


def test_values_are_values() -> None:
    (condition,) = parse_where("""name = 'it''s'""")
    assert condition.sql("x") == "COALESCE(x = 'it''s', FALSE)"


def test_invalid_rows_keep_their_lines(tmp_path: Path) -> None:
    text = MIXED.replace("c2,acompletion,405,95", "c2,acompletion,405,ninety")
    with pytest.raises(InputError, match='log:3: prompt_tokens is "ninety"'):
        read(tmp_path, text)
    loaded = read(tmp_path, text, on_invalid="skip")
    assert sums(loaded) == (1, 812, 164)
    assert loaded.workload.invalid == {"not a number": 1}
    rows = [usage({"input_tokens": 1, "cache_read_input_tokens": "x", "output_tokens": 2})]
    with pytest.raises(InputError, match=r"usage\.input_tokens is"):
        read(tmp_path, rows)


def test_characters_are_no_tokens(tmp_path: Path) -> None:
    text = (
        "cve_id,stage,timestamp,input_length,input_words,output_length,output_words\n"
        "CVE-A,analyzer,2025-07-10 09:40:44,39469,5870,4853,682\n"
    )
    with pytest.raises(InputError, match="it has: input_length, output_length, cve_id"):
        read(tmp_path, text)


def test_columns_with_telling_names_come_first(tmp_path: Path) -> None:
    row = {f"other_{k}": k for k in range(20)} | {"usage": {"sum_of_tokens": 3}}
    with pytest.raises(InputError, match=r"it has: usage\.sum_of_tokens, other_0"):
        read(tmp_path, [row])


def test_lines_of_a_session_without_lengths_are_none(tmp_path: Path) -> None:
    said = {"id": "m1", "usage": {"input_tokens": 10, "output_tokens": 5}}
    rows = [
        {"type": "user", "sessionId": "s", "timestamp": "2025-06-14T10:00:00Z", "message": {}},
        {"type": "assistant", "sessionId": "s", "message": said},
        {"type": "assistant", "sessionId": "s", "message": said},
        {"type": "summary", "sessionId": "s"},
    ]
    loaded = read(tmp_path, rows, arrival_column="none")
    assert sums(loaded) == (1, 10, 5)
    assert loaded.reading is not None
    assert loaded.reading.left_out == {"no lengths": 2, "repeated": 1}
    assert loaded.reading.rows == 4


def test_logs_of_which_nothing_is_left_say_why(tmp_path: Path) -> None:
    text = "prompt_tokens,completion_tokens,cache_hit\n10,5,True\n10,5,true\n"
    with pytest.raises(InputError, match="has no request: 2 rows answered from a cache"):
        read(tmp_path, text)


def test_sums_of_very_many_requests_are_refused(tmp_path: Path) -> None:
    text = "input_tokens,output_tokens,num_requests\n1000000000000,200000000000,1000000000\n"
    with pytest.raises(InputError, match=r"its rows sum 1,000,000,000 requests"):
        read(tmp_path, text)


def test_more_cached_than_there_is_goes_not_unsaid(tmp_path: Path) -> None:
    rows = "100,10,500\n200,20,100\n300,20,x\n300,20,1.5\n300,20,99.7\n300,20,-5\n"
    loaded = read(tmp_path, f"input_tokens,output_tokens,cached_tokens\n{rows}")
    assert loaded.cached is not None
    assert loaded.cached.tolist() == [100, 100, 0, 0, 0, 0]
    assert '"cached_tokens" is more than the input in 1 rows' in notes(loaded)
    assert '"cached_tokens" has no count of tokens in 4 rows' in notes(loaded)


def test_rows_without_requests_go_not_unsaid(tmp_path: Path) -> None:
    text = "date,input_tokens,output_tokens,n_requests\na,1000,200,10\nb,9000,900,0\nc,90,9,\n"
    loaded = read(tmp_path, text)
    assert sums(loaded) == (10, 1000, 200)
    assert "2 rows have 9,999 tokens and no requests" in notes(loaded)


def test_sessions_that_tell_a_call_twice(tmp_path: Path) -> None:
    """Codex writes an event again whose sums have not advanced."""
    rows = [
        {
            "timestamp": f"2025-03-01T12:00:0{2 * k + again}Z",
            "payload": {
                "info": {
                    "total_token_usage": {"total_tokens": 2010 * (k + 1)},
                    "last_token_usage": {"input_tokens": 2000, "output_tokens": 10},
                }
            },
        }
        for k in range(3)
        for again in (0, 1)
    ]
    assert sums(read(tmp_path, rows)) == (3, 6000, 30)


def test_what_a_convention_has_within_is_within(tmp_path: Path) -> None:
    row = {
        "gen_ai.usage.input_tokens": 10_000,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read_input_tokens": 8000,
    }
    assert sums(read(tmp_path, [row])) == (1, 10_000, 5)
    plain = "input_tokens,output_tokens,cache_read_input_tokens\n10000,100,5000\n"
    loaded = read(tmp_path, plain)
    assert sums(loaded)[1] == 15_000
    assert "if it has it, say --cached-column cache_read_input_tokens" in notes(loaded)
    named = read(tmp_path, plain, cached_column="cache_read_input_tokens")
    assert sums(named)[1] == 10_000
    assert sums(read(tmp_path, plain, cached_column="none"))[1] == 15_000


def test_events_of_a_raw_stream_are_no_session(tmp_path: Path) -> None:
    rows = [
        {"type": "message_start", "message": {"usage": {"input_tokens": 25, "output_tokens": 1}}},
        {"type": "message_delta", "usage": {"output_tokens": 15}},
    ]
    with pytest.raises(InputError, match=r"log:2: message\.usage\.input_tokens is missing"):
        read(tmp_path, rows)
