"""A log of several models: sums, scope and serving of all, and what is for one model."""

import json
import re
import shlex
from pathlib import Path

import pytest

import joulecast as jc
from joulecast.traces.errors import InputError
from tests.conftest import RunCli

LOG = (
    "prompt_tokens,completion_tokens,startTime,model,user\n"
    "812,164,2025-03-01 09:00:00.25,llama-3.1-8b,alice\n"
    "95,310,2025-03-01 09:30:03.5,my-qwen,bob\n"
    "400,20,2025-03-01 09:40:03.5,my-qwen,bob\n"
    "70,9,2025-03-01 09:45:00,gpt-4o,alice\n"
    "431,0,2025-03-01 10:00:05.5,meta-llama/Llama-3.1-8B-Instruct,bob\n"
    "2000,50,2025-03-01 11:00:05.5,meta-llama/Llama-3.1-8B-Instruct,\n"
)
FACILITY = shlex.split("--server-overhead ecologits --pue 1.2 --carbon us-east-1 --price $0.12")
ADDED_UP = "energy_j", "it_energy_j", "facility_energy_j", "carbon_g", "cost"
INTERVALS = (
    *("interval_j", "it_interval_j", "facility_interval_j"),
    *("carbon_interval_g", "cost_interval"),
)


@pytest.fixture
def by_models(tmp_path: Path) -> list[object]:
    """The command for such a log."""
    log, names = tmp_path / "log.csv", tmp_path / "names.json"
    log.write_text(LOG)
    names.write_text('{"my-qwen": "qwen2.5-7b"}')
    return ["estimate", log, "--group-by", "model", "--models", names]


def test_footprints_of_models_add_up(by_models: list[object], run_cli: RunCli) -> None:
    ended = run_cli(*by_models, *FACILITY, "--format", "json")
    document = json.loads(ended.stdout)
    models = document["models"]
    assert len(models) == 2
    for key in ADDED_UP:
        assert document[key] == pytest.approx(sum(each[key] for each in models))
    for key in INTERVALS:
        for end in (0, 1):
            assert document[key][end] == pytest.approx(sum(each[key][end] for each in models))
    # By hand: 150 W beside each GPU as long as it is there, and 1.2 times all of that.
    rest_j = 150 * sum(each["serving"]["span_s"] for each in models)
    facility_j = 1.2 * (document["energy_j"] + rest_j)
    assert document["facility_energy_j"] == pytest.approx(facility_j)
    assert document["cost"] == pytest.approx(0.12 * facility_j / 3.6e6)
    intensity = document["carbon_intensity"]
    assert document["carbon_g"] == pytest.approx(intensity["g_per_kwh"] * facility_j / 3.6e6)
    assert (document["boundary"], document["currency"], document["pue"]) == ("facility", "USD", 1.2)
    assert intensity["year"] == models[0]["carbon_intensity"]["year"]
    for name in ("work_j", "idle_j"):
        in_all = sum(each["serving"][name] for each in models)
        assert document["serving"][name] == pytest.approx(in_all)
    counts = document["requests"]
    assert (counts["total"], counts["estimated"], counts["failed"]) == (6, 4, 1)
    assert counts["other_models"] == 1


def test_the_table_tells_scope_serving_and_footprint(
    by_models: list[object], run_cli: RunCli
) -> None:
    shown = run_cli(*by_models, *FACILITY).stdout
    text = " ".join(shown.split())
    for words in (
        "4 of the 6 requests",
        "scope GPUs, from the first arrival to the last token",
        "measured: a table of this model",
        "online, requests as in the trace",
        "working, waiting",
        "IT energy",
        "PUE 1.2 on the IT energy",
        "Virginia, United States 2023, output rate",
        "at 0.12 USD per kWh",
        "1 failed, 1 of models that are not estimated",
    ):
        assert words in text
    for model in ("llama-3.1-8b", "qwen2.5-7b"):
        assert (
            len(re.findall(f"^ {model} ", shown, re.MULTILINE)) == 3
        )  # energy, serving, footprint


def test_why_there_is_no_interval(by_models: list[object], run_cli: RunCli) -> None:
    shown = run_cli(*by_models, "--method", "binned").stdout
    assert "95 % interval  none, which the binned method cannot tell" in shown
    assert "offline, all requests at once" in shown


def test_rows_of_models(by_models: list[object], run_cli: RunCli) -> None:
    header, *rows = run_cli(*by_models, *FACILITY, "--format", "csv").stdout.splitlines()
    assert len(rows) == 3  # two models, and what is not estimated
    assert {*ADDED_UP, "boundary", "serving_mode", "serving_idle_j"} <= {*header.split(",")}
    made = jc.estimate_models(Path(str(by_models[1])), pue=1.2, carbon="us-east-1", price="$0.12")
    whole = made.to_frame("total")
    models = made.to_frame()
    for key in ("energy_j", "facility_energy_j", "carbon_g", "cost", "serving_idle_j"):
        assert whole[key][0] == pytest.approx(models[key].sum())
    assert list(models["basis"]) == ["measured"]
    with pytest.raises(InputError, match="is none of: models, total"):
        made.to_frame("cells")  # type: ignore[arg-type]


@pytest.mark.parametrize("where", [None, "user != carol"])
@pytest.mark.parametrize("option", ["--plot", "--per-request", "--explain"])
def test_the_advice_for_one_model_works(
    option: str, where: str | None, by_models: list[object], run_cli: RunCli, tmp_path: Path
) -> None:
    wanted = [option] if option == "--explain" else [option, str(tmp_path / "result.png")]
    if option == "--per-request":
        wanted[1] = str(tmp_path / "parts.csv")
    narrowed = [] if where is None else ["--where", where]
    refused = run_cli(*by_models, *narrowed, *wanted)
    assert refused.exit_code == 2
    advice = re.search(r"give such as (--model .*)$", refused.output, re.MULTILINE)
    assert advice is not None
    ended = run_cli("estimate", by_models[1], *shlex.split(advice[1]), *wanted, "--format", "json")
    assert ended.exit_code == 0, ended.output
    assert json.loads(ended.stdout)["requests"]["estimated"] == 2


def test_every_document_tells_its_scope(tmp_path: Path, run_cli: RunCli) -> None:
    log, table = tmp_path / "log.csv", ["--table", "h100-sxm/llama-3.1-8b/vllm"]
    log.write_text("input_tokens,output_tokens\n100,20\n")
    for words, scope in (([], "GPU"), (["--price", "1"], "GPU"), (["--pue", "1.1"], "facility")):
        of_one = json.loads(run_cli("estimate", log, *table, *words, "--format", "json").stdout)
        of_all = json.loads(run_cli("compare", log, *table, *words, "--format", "json").stdout)
        assert [of_one["boundary"], of_all["tables"][0]["boundary"]] == [scope, scope]


MIXED = (
    "prompt_tokens,completion_tokens,startTime,model\n"
    "812,164,2025-03-01 09:00:00.25,llama-3.1-8b\n"
    "95,310,2025-03-01 09:30:03.5,us.meta.llama3-3-70b-instruct-v1:0\n"
    "95,310,2025-03-01 09:31:03.5,accounts/fireworks/models/llama-v3p3-70b-instruct\n"
    "70,9,2025-03-01 09:45:00,gpt-4o\n"
)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A log with a model that one GPU does not hold, and one that is not known."""
    log = tmp_path / "mixed.csv"
    log.write_text(MIXED)
    return log


def test_each_model_has_the_fewest_gpus_that_hold_it(
    mixed: Path, run_cli: RunCli, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    words = ("estimate", mixed, "--group-by", "model")
    document = json.loads(run_cli(*words, "--format", "json", "--html", page).stdout)
    assert {each["model"]: each["gpus"] for each in document["models"]} == {
        "llama-3.3-70b": 2,
        "llama-3.1-8b": 1,
    }
    own = jc.estimate(mixed, model="llama-3.3-70b", gpus=2, where="model ~ 70b")
    assert document["models"][0]["energy_j"] == own.energy_j
    note = "Each model has the fewest GPUs, 1, 2, 4 or 8, that hold it: llama-3.3-70b 2, llama"
    assert any(text.startswith(note) for text in document["notes"])
    text = run_cli(*words).stdout
    assert note in " ".join(text.split())
    assert re.search(r"^ llama-3.3-70b +model scaled +2 +1 ", text, re.MULTILINE)
    assert note in " ".join(page.read_text().split())
    of_two = json.loads(run_cli(*words, "--gpus", "2", "--format", "json").stdout)
    assert [each["gpus"] for each in of_two["models"]] == [2, 2]
    assert not any("fewest" in text for text in of_two["notes"])
    plain = json.loads(run_cli(*words, "--engine", "pytorch", "--format", "json").stdout)
    assert any("take a larger --gpu" in other["reason"] for other in plain["not_estimated"])
    advice = run_cli(*words, "--where", "model ~ 70b", "--explain").output
    assert "--model llama-3.3-70b --gpus 2 --where" in advice


def test_what_to_do_where_a_model_is_not_known(
    mixed: Path, run_cli: RunCli, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    words = ("estimate", mixed, "--group-by", "model")
    document = json.loads(run_cli(*words, "--format", "json", "--html", page).stdout)
    reason = "no such model is known; say with --models FILE what it is"
    assert [other["reason"] for other in document["not_estimated"]] == [reason]
    note = 'such as {"gpt-4o": "llama-3.1-8b"}'
    assert note in document["notes"][-1]
    assert note in " ".join(run_cli(*words).stdout.split())
    html = page.read_text()
    assert reason in html
    assert note.replace('"', "&#34;") in html
    names = tmp_path / "names.json"
    names.write_text('{"gpt-4o": "llama-3.1-8b"}')
    told = json.loads(run_cli(*words, "--models", names, "--format", "json").stdout)
    assert not told["not_estimated"]
    assert not any("--models" in text for text in told["notes"])


def test_a_name_that_the_log_lacks_is_told(mixed: Path, run_cli: RunCli, tmp_path: Path) -> None:
    names = tmp_path / "names.json"
    names.write_text('{"nothere": "qwen2.5-7b", "gpt-4o": "Qwen/Qwen2.5-7B-Instruct"}')
    words = ("estimate", mixed, "--group-by", "model", "--models", names)
    document = json.loads(run_cli(*words, "--format", "json").stdout)
    assert {each["model"] for each in document["models"]} >= {"qwen2.5-7b"}
    note = '--models: "nothere" is no name of a model in the log'
    assert [note in text for text in document["notes"]].count(True) == 1
    assert note in " ".join(run_cli(*words).stdout.split())


def test_a_model_that_there_is_not_is_refused(mixed: Path, run_cli: RunCli) -> None:
    names = mixed.with_name("names.json")
    names.write_text('{"mistral-7b-v0.3": "nomodel"}')
    refused = run_cli("estimate", mixed, "--group-by", "model", "--models", names)
    assert refused.exit_code == 1
    line = f'{names}: "mistral-7b-v0.3" cannot be that: unknown model "nomodel"; did you mean "'
    assert line in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    with pytest.raises(InputError, match=r'"gpt-4o" cannot be that: unknown model "qwen2\.5-8b"'):
        jc.estimate_models(mixed, {"gpt-4o": "qwen2.5-8b"})
