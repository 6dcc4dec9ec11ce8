"""The folder of a sweep: gone on with, never mixed, never lost."""

import csv
from pathlib import Path

import pytest

from joulecast.measurements.sweep.folder import SweepFolder, require_same
from joulecast.measurements.table.runs import COLUMNS, read_runs
from joulecast.traces.errors import InputError
from tests.measurements.fakes import FakeEngine, FakeGpu, metadata_of, plan_of


@pytest.mark.parametrize("content", ["", "input_tok", None])
def test_stopped_before_table_json_was_there(content, stage, tmp_path: Path) -> None:
    """runs.csv comes first; a kill in between must not close the folder for good."""
    (tmp_path / "t").mkdir()
    header = ",".join(COLUMNS) + "\n"
    (tmp_path / "t/runs.csv").write_text(header if content is None else content)
    sweep, _ = stage()
    sweep.run(plan_of("paper")[:1])
    assert len(read_runs(tmp_path / "t/runs.csv")) == 1


@pytest.mark.parametrize(
    ("name", "old", "new", "complaint"),
    [
        ("runs.csv", "input_tokens,", "i,", "its columns must be"),
        ("runs.csv", ",true,", ",maybe,", "neither true nor false"),
        ("table.json", '"joulecast_table": 1', '"joulecast_table": 2', "is 2, not version 1"),
        ("table.json", '"idle_power_w": 1', '"idle_power_w": -1', "above 0"),
        (
            "table.json",
            '"kv_cache_tokens": 450000',
            '"kv_cache_tokens": "abc"',
            'is "abc", not a believable whole number',
        ),
    ],
)
def test_a_damaged_folder_is_refused_before_anything_is_measured(
    name: str, old: str, new: str, complaint: str, stage, tmp_path: Path
) -> None:
    sweep, _ = stage()
    sweep.run(plan_of("paper")[:2])
    sweep.folder.close()
    path = tmp_path / "t" / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=complaint):
        SweepFolder.resume(tmp_path / "t", metadata_of(FakeEngine(), [FakeGpu()]))


def test_another_card_of_the_same_kind_may_go_on(stage, tmp_path: Path) -> None:
    plan = plan_of("paper")[:4]
    sweep, _ = stage()
    sweep.run(plan[:2])
    sweep.folder.close()
    again, _ = stage(resume=True, uuid="GPU-other")
    again.run(plan)
    assert [run.gpu for run in again.folder.runs] == ["GPU-fake"] * 2 + ["GPU-other"] * 2
    assert set(again.folder.metadata["cards"]) == {"GPU-fake", "GPU-other"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("gpu_product", "NVIDIA H200"),
        ("engine", "pytorch"),
        ("engine_version", "2"),
        ("power_limit_w", 500.0),
        ("dtype", "float16"),
        ("weights", "given"),
        ("model", "olmo-1b"),
        ("measured_by", "a later version"),
        ("engine_settings", {"kv_cache_tokens": 400_000}),
        ("engine_settings", {"kv_cache_tokens": 450_000, "eager": True}),
    ],
)
def test_nothing_else_is_mixed_into_one_table(key: str, value, tmp_path: Path) -> None:
    metadata = metadata_of(FakeEngine(), [FakeGpu()])
    SweepFolder.create(tmp_path / "t", metadata).close()
    before = (tmp_path / "t/table.json").read_text()
    with pytest.raises(InputError, match="cannot mix"):
        SweepFolder.resume(tmp_path / "t", metadata | {key: value})
    assert (tmp_path / "t/table.json").read_text() == before


def test_a_little_more_free_memory_is_no_difference(tmp_path: Path) -> None:
    metadata = metadata_of(FakeEngine(), [FakeGpu()])
    SweepFolder.create(tmp_path / "t", metadata).close()
    close = metadata | {"engine_settings": {"kv_cache_tokens": 449_000}}
    SweepFolder.resume(tmp_path / "t", close).close()


def test_a_folder_is_neither_overwritten_nor_shared(tmp_path: Path) -> None:
    metadata = metadata_of(FakeEngine(), [FakeGpu()])
    folder = SweepFolder.create(tmp_path / "t", metadata)
    with pytest.raises(InputError, match="another process"):
        SweepFolder.resume(tmp_path / "t", metadata)
    folder.close()
    with pytest.raises(InputError, match="pass --resume"):
        SweepFolder.create(tmp_path / "t", metadata)
    with pytest.raises(InputError, match="no table to go on with"):
        SweepFolder.resume(tmp_path / "elsewhere", metadata)


@pytest.mark.parametrize("torn", ["32,8,10", "32,8,1024,true,1,1,1,,,,,9,,,true", "\x00"])
def test_a_torn_last_line_is_taken_away(stage, torn: str, tmp_path: Path) -> None:
    sweep, _ = stage()
    plan = plan_of("paper")[:2]
    sweep.run(plan[:1])
    sweep.folder.close()
    with (tmp_path / "t/runs.csv").open("a") as file:
        file.write(torn)
    again, _ = stage(resume=True)
    again.run(plan)
    assert [run.run for run in read_runs(tmp_path / "t/runs.csv")] == [1, 1]


def test_values_on_disk_are_exact(stage, tmp_path: Path) -> None:
    sweep, _ = stage()
    sweep.run(plan_of("paper")[:2])
    assert read_runs(tmp_path / "t/runs.csv") == sweep.folder.runs
    with (tmp_path / "t/runs.csv").open() as file:
        assert all("," not in (row["reason"] or "") for row in csv.DictReader(file))


def test_tables_from_before_a_setting_are_gone_on_with(tmp_path: Path) -> None:
    """They were of greedy decoding, which they do not say; with drawn tokens they do not mix."""
    earlier = {"gpu": "h100-sxm", "engine_settings": {"max_num_seqs": 1024}}
    settings = {"max_num_seqs": 1024, "speculation": None, "decoding_strategy": "greedy"}
    now = {"gpu": "h100-sxm", "engine_settings": settings}
    require_same(tmp_path, earlier, now)
    require_same(tmp_path, now, earlier)
    settings["decoding_strategy"] = "top-p:0.9"
    with pytest.raises(InputError, match=r'="greedy", now it is "top-p:0\.9"'):
        require_same(tmp_path, earlier, now)
