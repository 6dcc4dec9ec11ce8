"""The NLP tasks, from small local data sets of the real ones' schema."""

import json
from pathlib import Path

import numpy as np
import pytest

from joulecast.traces.errors import InputError
from joulecast.traces.grid import PAPER_GRID
from joulecast.traces.public.tasks import load_task, task_names
from joulecast.traces.reconstruct import most_even, published
from tests.conftest import RunCli

pytest.importorskip("datasets")
tokenizers = pytest.importorskip("tokenizers")
transformers = pytest.importorskip("transformers")

FIELDS = {
    "wmt-14": lambda text: {"translation": {"de": "x", "en": text}},
    "wikitext-2": lambda text: {"text": text},
    "imdb": lambda text: {"text": text, "label": 1},
    "cnn-dailymail": lambda text: {"article": text, "highlights": "x", "id": "1"},
}


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf/datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


@pytest.fixture
def tokenizer(tmp_path: Path, offline: None) -> str:
    """One token a word, and one before the first."""
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"?": 0, "<s>": 1}, unk_token="?"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    words.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    folder = tmp_path / "tokenizer"
    transformers.PreTrainedTokenizerFast(tokenizer_object=words).save_pretrained(folder)
    return str(folder)


def data_set(tmp_path: Path, name: str, texts: list[str]) -> Path:
    folder = tmp_path / name
    folder.mkdir()
    rows = "".join(json.dumps(FIELDS[name](text)) + "\n" for text in texts)
    (folder / "test.jsonl").write_text(rows)
    return folder


@pytest.mark.parametrize("name", FIELDS)
def test_a_task_is_padded_to_its_longest(name: str, tokenizer: str, tmp_path: Path) -> None:
    texts = ["word " * (1 + k % 50) if k % 7 else "  " for k in range(1300)]
    folder = data_set(tmp_path, name, texts)
    workload = load_task(name, tokenizer, folder)
    task = next(row for row in published()["tasks"] if row["name"] == name)
    assert workload.total.requests == 1024
    assert workload.total.input_tokens == 1024 * 51  # 50 words and what comes before them
    assert workload.total.output_tokens == 1024 * task["output_tokens"]
    taken = [text for text in texts if text.strip()][:1024]
    lengths = [1 + len(text.split()) for text in taken]
    (source,) = workload.sources
    assert source["mean_input_tokens"] == f"{sum(lengths) / 1024:.2f}"
    assert source["longest_input_tokens"] == "51"
    unpadded = load_task(name, tokenizer, folder, padded=False)
    assert unpadded.total.input_tokens == sum(lengths)
    assert unpadded.on_grid(PAPER_GRID).total.requests == 1024


def test_a_task_becomes_a_workload_to_estimate(
    tokenizer: str, run_cli: RunCli, tmp_path: Path
) -> None:
    folder = data_set(tmp_path, "imdb", ["a b c"] * 1024)
    path = tmp_path / "imdb.json"
    words = "trace", "task", "imdb", "--tokenizer", tokenizer, "--data", folder, "-o", path
    result = run_cli(*words)
    assert result.exit_code == 0, result.output
    assert "1,024 texts of 4.00 +- 0.00 tokens, the longest 4" in result.stderr
    assert run_cli("estimate", path, "--table", "h100-sxm/llama-3.1-8b/vllm").exit_code == 0


def test_what_cannot_be_loaded_is_said_in_one_line(tokenizer: str, tmp_path: Path) -> None:
    few = data_set(tmp_path, "imdb", ["a"] * 1000)
    other = data_set(tmp_path, "cnn-dailymail", ["a"] * 1100)
    (tmp_path / "empty").mkdir()
    cases = [
        (("imdb", tokenizer, few), "has 1000 texts that are not blank; imdb takes 1024"),
        (("imdb", tokenizer, other), 'its rows have no text "text"'),
        (("imdb", tokenizer, tmp_path / "empty"), "cannot be loaded"),
        (("imdb", tokenizer, None), "give its files with --data"),
        (("imbd", tokenizer, few), 'did you mean "imdb"'),
    ]
    for arguments, said in cases:
        with pytest.raises(InputError) as caught:
            load_task(*arguments)
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)
    whole = data_set(tmp_path, "wikitext-2", ["a"] * 1100)
    with pytest.raises(InputError, match="cannot be loaded as a tokenizer"):
        load_task("wikitext-2", str(tmp_path / "nowhere"), whole)
    assert task_names() == ["wmt-14", "wikitext-2", "imdb", "cnn-dailymail"]


@pytest.mark.parametrize("name", task_names())
def test_lengths_from_figures_have_them(name: str, run_cli: RunCli, tmp_path: Path) -> None:
    task = next(task for task in published()["tasks"] if task["name"] == name)
    path, figures = tmp_path / f"{name}.csv", task["input"]
    result = run_cli("trace", "task", name, "--from-figures", "--unpadded", "-o", path)
    assert result.exit_code == 0, result.output
    rows = [line.split(",") for line in path.read_text().splitlines()[1:]]
    inputs = np.array([int(i) for i, _ in rows])
    assert len(inputs) == 1024
    assert inputs.max() == figures["maximum"]
    assert inputs.mean() == pytest.approx(figures["mean"], rel=1e-3)
    assert inputs.std() == pytest.approx(figures["sd"], rel=1e-3)
    assert {int(o) for _, o in rows} == {task["output_tokens"]}
    padded = run_cli("trace", "task", name, "--from-figures").stdout.splitlines()[1:]
    assert set(padded) == {f"{figures['maximum']},{task['output_tokens']}"}


def test_a_task_takes_texts_or_figures(run_cli: RunCli) -> None:
    assert "give the texts' --tokenizer, or" in run_cli("trace", "task", "imdb").stderr
    both = run_cli("trace", "task", "imdb", "--from-figures", "--tokenizer", "x")
    assert "needs neither --tokenizer nor --data" in both.stderr
    with pytest.raises(InputError, match="no lengths up to 10 have the mean 9 and the sd 8"):
        most_even(9, 8, 10)
