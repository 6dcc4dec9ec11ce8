"""Groups of a trace: one reading, parts that sum to the whole."""

import json
from pathlib import Path

import pytest

import joulecast as jc
from joulecast.traces.errors import InputError
from joulecast.traces.grid import POWER_OF_TWO_GRID
from joulecast.traces.load import load_trace
from joulecast.traces.workload import Workload
from tests.conftest import RunCli

TABLE = "h100-sxm/llama-3.1-8b/vllm"
LOG = (
    "prompt_tokens,completion_tokens,startTime,model,user\n"
    "812,164,2025-03-01 09:00:00.25,llama-3.1-8b,alice\n"
    "95,310,2025-03-01 09:30:03.5,gpt-4o,bob\n"
    "431,0,2025-03-01 10:00:05.5,meta-llama/Llama-3.1-8B-Instruct,bob\n"
    "2000,50,2025-03-02 09:00:05.5,meta-llama/Llama-3.1-8B-Instruct,\n"
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text(LOG)
    return path


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("model", ["gpt-4o", "llama-3.1-8b", "meta-llama/Llama-3.1-8B-Instruct"]),
        ("user", ["(none)", "alice", "bob"]),
        ("month", ["2025-03"]),
        ("week", ["2025-W09"]),
        ("day", ["2025-03-01", "2025-03-02"]),
        ("hour", ["2025-03-01 09:00", "2025-03-01 10:00", "2025-03-02 09:00"]),
        ("completion_tokens", ["0", "164", "310", "50"]),
    ],
)
def test_groups_sum_to_the_whole(by: str, names: list[str], log: Path) -> None:
    loaded = load_trace(log, group_by=by)
    assert loaded.groups is not None
    assert sorted(loaded.groups) == names
    whole = sum(loaded.groups.values(), Workload(POWER_OF_TWO_GRID, {}))
    assert whole == loaded.workload == load_trace(log).workload


def test_parts_sum_to_the_energy(log: Path) -> None:
    alone = jc.estimate(log, TABLE)
    for method in ("stepwise", "binned"):
        made = jc.estimate(log, TABLE, method, group_by="user")
        assert sum(group.energy_j for group in made.groups) == pytest.approx(made.energy_j)
        assert sum(group.share for group in made.groups) == pytest.approx(1)
    made = jc.estimate(log, TABLE, group_by="user")
    assert made.energy_j == alone.energy_j
    failed = {group.name: group.failed for group in made.groups}
    assert failed == {"(none)": 0, "alice": 0, "bob": 1}
    one = jc.estimate(log, TABLE, group_by="day", where="user = alice")
    assert [group.energy_j for group in one.groups] == [pytest.approx(one.energy_j)]


def test_each_model_is_served_by_itself(log: Path, tmp_path: Path, run_cli: RunCli) -> None:
    made = jc.estimate_models(log)
    frame = made.to_frame()
    assert frame["energy_j"].sum() == pytest.approx(made.energy_j)
    assert list(frame["model"]) == list(made.estimates)
    assert made.names == {"llama-3.1-8b": ("llama-3.1-8b", "meta-llama/Llama-3.1-8B-Instruct")}
    assert [other.names for other in made.not_estimated] == [("gpt-4o",)]
    own = jc.estimate(log, model="llama-3.1-8b", where="model ~ llama")
    assert made.energy_j == own.energy_j
    names = tmp_path / "names.json"
    names.write_text('{"gpt-4o": "qwen2.5-7b"}')
    ended = run_cli("estimate", log, "--group-by", "model", "--models", names, "--format", "json")
    document = json.loads(ended.stdout)
    assert not document["not_estimated"]
    assert sum(each["energy_j"] for each in document["models"]) == document["energy_j"]
    assert document["interval_j"][0] < document["energy_j"] < document["interval_j"][1]


@pytest.mark.parametrize("serving", ["online", "offline"])
@pytest.mark.parametrize(("cached", "within"), [(False, 1e-9), (True, 0.01)])
def test_a_group_has_the_sum_of_its_requests(
    serving: str, cached: bool, within: float, tmp_path: Path
) -> None:
    """Writers and readers: a cell's share by tokens would put them off by a third."""
    users, means = ("reader", "writer"), {"reader": (4000, 20), "writer": (200, 400)}
    rows = []
    for k in range(400):
        user = users[k % 2]
        i, o = (mean + 7 * k % (mean // 2) for mean in means[user])
        rows.append((0.4 * k, user, i, o, k % 3 * i // 4 if cached else 0))
    path = tmp_path / "users.csv"
    head = "arrival_s,user,input_tokens,output_tokens,cached_tokens"
    path.write_text("\n".join([head, *(",".join(map(str, row)) for row in rows)]) + "\n")
    made = jc.estimate(path, TABLE, group_by="user", serving=serving)
    parts = made.to_frame("requests")
    assert len(parts) == len(rows)
    # Requests without a pause come in the order of the file.
    by_user = parts.groupby([row[1] for row in rows])["energy_j"].sum()
    assert {group.name: group.energy_j for group in made.groups} == {
        user: pytest.approx(by_user[user], rel=within) for user in users
    }


def test_groups_that_cannot_be(log: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match='has no column "team_name"'):
        load_trace(log, group_by="team_name")
    with pytest.raises(InputError, match="has no column of arrival times"):
        load_trace(log, group_by="hour", arrival_column="none")
    undated = log.with_name("undated.csv")
    undated.write_text("input_tokens,output_tokens,arrival\n5,6,0\n7,8,700000\n")
    with pytest.raises(InputError, match="no dates, so there are no months"):
        load_trace(undated, group_by="month")
    weeks = load_trace(undated, group_by="week").groups
    assert weeks is not None
    assert sorted(weeks) == ["week   1", "week   2"]
    with pytest.raises(InputError, match="none of its models can be estimated"):
        jc.estimate_models(log, where="model = gpt-4o")
    workload = tmp_path / "workload.json"
    load_trace(log).workload.save(workload)
    with pytest.raises(InputError, match="is a workload"):
        load_trace(workload, group_by="user")


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("month", ["2024-12", "2025-01"]),
        ("week", ["2024-W52", "2025-W01", "2025-W02"]),  # ISO 8601
    ],
)
def test_months_and_weeks_are_those_of_the_calendar(
    by: str, names: list[str], tmp_path: Path
) -> None:
    ends = "2024-12-29 23:59:59.9", "2024-12-30 00:00", "2025-01-05 23:59:59", "2025-01-06 00:00"
    path = tmp_path / "log.csv"
    rows = "".join(f"{k},1,{end}\n" for k, end in enumerate(ends, 1))
    path.write_text(f"input_tokens,output_tokens,arrival\n{rows}")
    groups = load_trace(path, group_by=by).groups
    assert groups is not None
    assert sorted(groups) == names
    assert sum(group.total.requests for group in groups.values()) == 4
