"""Log files: what goes in comes out, and what is spoilt is named by its line."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joulecast import measurements
from joulecast.measurements.replay import Replay
from joulecast.measurements.steplog.columns import LOG_COLUMNS
from joulecast.measurements.steplog.files import read_log, write_log
from joulecast.measurements.steplog.log import StepLog
from joulecast.measurements.steplog.ticks import Ticks
from joulecast.traces.errors import InputError

FACTS = {"window_begin": 10.0, "window_end": 12.5, "model": "é, 3B", "nested": {"a": [1, None]}}
STEPS = [
    (10.0, 10.1, 10.3, 10.31, 0, 30, 0, 450.0, 2, 2, 2, 2, 0, 0),
    (10.15, 10.2, 10.45, 10.46, 2, 0, 32, 0.0, 2, 0, 0, 2, 0, 0),
    (10.4, 10.41, None, None, 2, 0, 34, 0.0, 2, 0, 0, 2, 0, 1),
]
TICKS = [
    (0, 9.89, 9.9, 9.91, 9_007_199_254_740_993),
    (0, 9.99, 10.0, 10.004, 9_007_199_254_741_000),
    (0, 12.59, 12.6, 12.61, 9_007_199_254_750_000),
]


def text_of(path: Path) -> str:
    return gzip.decompress(path.read_bytes()).decode()


def spoil(path: Path, old: str, new: str) -> Path:
    text = text_of(path)
    assert old in text
    path.write_bytes(gzip.compress(text.replace(old, new).encode()))
    return path


def steps_file(folder: Path) -> Path:
    write_log(folder / "x.steps.csv.gz", "steps", FACTS, STEPS)
    return folder / "x.steps.csv.gz"


def ticks_file(folder: Path) -> Path:
    write_log(folder / "x.ticks.csv.gz", "ticks", FACTS, TICKS)
    return folder / "x.ticks.csv.gz"


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = steps_file(tmp_path)
    file = read_log(path, "steps")
    assert file.facts == FACTS
    assert file.window == (10.0, 12.5)
    assert file.meanings["decoding"] == "requests that decode, one token each"
    assert list(file.columns) == list(LOG_COLUMNS["steps"])
    np.testing.assert_array_equal(file.columns["pairs"], [450.0, 0.0, 0.0])
    assert np.isnan(file.columns["output_at"][2])
    assert file.columns["context"].dtype == np.int64
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    before = path.read_bytes()
    assert steps_file(tmp_path).read_bytes() == before  # no time of day in it


def test_large_counters_stay_exact(tmp_path: Path) -> None:
    """2^53 + 1 mJ is no float."""
    columns = read_log(ticks_file(tmp_path), "ticks").columns
    assert columns["energy_mj"].tolist() == [row[-1] for row in TICKS]
    assert Ticks.read(ticks_file(tmp_path)).by_gpu[0].joules.tolist() == [0.0, 0.007, 9.007]


def test_texts_of_requests(tmp_path: Path) -> None:
    rows = [
        ('a "b", c', 1.0, 1.5, 10, 2, 2.0, 3.0, 4.0, 2, 0, 0),
        ("", None, None, 7, 1, None, None, None, 0, 0, 1),
    ]
    write_log(tmp_path / "r", "requests", FACTS, rows)
    columns = read_log(tmp_path / "r", "requests").columns
    assert columns["segment"].tolist() == ['a "b", c', ""]
    assert columns["cut"].tolist() == [0, 1]
    assert np.isnan(columns["arrival"]).tolist() == [False, True]


def test_a_log_of_nothing(tmp_path: Path) -> None:
    write_log(tmp_path / "s", "steps", FACTS, [])
    log = StepLog.read(tmp_path / "s")
    assert len(log) == len(log.gpu_seconds) == 0
    assert log.counts().steps == log.sums()["tokens"] == 0
    write_log(tmp_path / "t", "ticks", FACTS, [])
    with pytest.raises(InputError, match="the energy counter has no ticks"):
        Ticks.read(tmp_path / "t").energy_between(10, 11)


@settings(max_examples=60)
@given(data=st.data())
def test_wherever_a_file_is_cut_it_is_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = steps_file(tmp_path_factory.mktemp("cut"))
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(InputError) as caught:
        StepLog.read(path)
    assert str(caught.value).startswith(f"{path}:")
    assert str(caught.value).endswith("get the file again")


def test_a_file_cut_in_mid_line_is_refused_by_its_line(tmp_path: Path) -> None:
    """As a crash leaves what was packed later."""
    path = steps_file(tmp_path)
    text = text_of(path)
    path.write_bytes(gzip.compress(text[:-9].encode()))
    with pytest.raises(InputError, match=rf"{path}:22: is cut off in mid line; get"):
        StepLog.read(path)
    path.write_bytes(gzip.compress(text[:-9].encode() + b"\n"))
    with pytest.raises(InputError, match=rf"{path}:22: has 1\d values, not 14; get"):
        StepLog.read(path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("10.15,10.2,", "10.15,soon,", ':21: its schedule_end is "soon", not a time [s] of 0 or'),
        ("10.15,10.2,", "10.15,nan,", ':21: its schedule_end is "nan", not a time'),
        ("10.15,10.2,", "10.15,inf,", 'its schedule_end is "inf"'),
        ("10.15,10.2,", "10.15,,", ':21: its schedule_end is "", not a time'),
        ("10.15,10.2,", "-1,10.2,", ':21: its schedule_begin is "-1", not a time'),
        ("10.15,10.2,", "10.15,10.1,", ":21: its schedule_end is before its schedule_begin"),
        ("10.15,", "9.15,", ":21: its schedule_begin goes back, from 10.000000 to 9.150000"),
        ("10.45,10.46", "10.25,10.46", ":21: its output_at goes back"),
        ("10.45,10.46", "10.45,10.44", ":21: its returned is before its output_at"),
        (",2,0,32,", ",-2,0,32,", ':21: its decoding is "-2", not a whole number of 0 or more'),
        (",2,0,32,", ",2.5,0,32,", ':21: its decoding is "2.5", not a whole number'),
        (",2,0,32,", ",0,0,32,", ":21: its sampled is not decoding + prompts_completed"),
        (",450.0,2,2,2,", ",450.0,2,1,2,", ":20: more prompts are completed than are fed"),
        (",30,0,450.0", ",1,0,450.0", ":20: more prompts are fed than prompt tokens"),
        (",2,0,34,0.0,2,", ",0,0,34,0.0,0,", ":22: it feeds nothing"),
        ("schedule_begin,", "began,", ":19: its columns are"),
        (",preempted\n", ",preempted,extra\n", ":19: its columns are"),
        ("# window_end: 12.5\n", "", '"window_end" is null, not a time'),
        ("# window_end: 12.5", "# window_end: 1.5", "its window ends before it begins"),
        ("# window_end: 12.5", '# window_end: "x"', '"window_end" is "x", not a time'),
        ("# window_end: 12.5", "# window_end: NaN", ':2: its "window_end" is not JSON (NaN'),
        ("# window_end: 12.5", "# window_begin: 12.5", ':2: gives "window_begin" twice'),
        ("# window_end: 12.5", "# once upon a time", ':2: is "# once upon a time", not "# key'),
        ("# model: ", "# other: ", None),
        ("# column decoding: requests", "# column decoding: whoever", None),
    ],
)
def test_spoilt_steps_are_named(old: str, new: str, said: str | None, tmp_path: Path) -> None:
    path = spoil(steps_file(tmp_path), old, new)
    if said is None:
        assert len(StepLog.read(path)) == 3
        return
    with pytest.raises(InputError) as caught:
        StepLog.read(path)
    text = str(caught.value)
    assert said in text
    assert text.startswith(str(path))
    assert "\n" not in text


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("9007199254750000", "9007199254740999", ":13: its energy_mj is 9007199254740999 after"),
        ("9007199254750000", "9007199254741000", "and a counter only rises"),
        ("9007199254750000", "9e15", 'its energy_mj is "9e15", not a whole number'),
        ("12.59,12.6,", "12.59,12.5,", ":13: its begin is before its not_before"),
        ("12.59,12.6,12.61", "9.8,9.81,9.82", ":13: its not_before goes back"),
    ],
)
def test_spoilt_ticks_are_named(old: str, new: str, said: str, tmp_path: Path) -> None:
    path = spoil(ticks_file(tmp_path), old, new)
    with pytest.raises(InputError) as caught:
        Ticks.read(path)
    assert said in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    for name, content, said in (
        ("a", b"schedule_begin", ":1: is not whole gzip"),
        ("b", gzip.compress(b"\xff\xff\n"), ":1: is not UTF-8"),
        ("c", gzip.compress(b"# window_begin: 1\n"), ":2: its header is missing"),
        ("d", b"", ":1: its header is missing"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=said):
            read_log(tmp_path / name, "steps")
    for name in ("nowhere", ""):
        with pytest.raises(InputError, match="cannot be read"):
            read_log(tmp_path / name, "steps")
    with pytest.raises(InputError, match="its columns are"):
        read_log(steps_file(tmp_path), "ticks")
    with pytest.raises(InputError, match="cannot be written"):
        write_log(tmp_path / "no" / "x", "steps", FACTS, [])


CAMPAIGN = Path(measurements.__file__).parent / "campaign-2026-11-26"
CAMPAIGN_STEPS = sorted(CAMPAIGN.glob("*/*/logs/*.steps.csv.gz"))


@pytest.mark.skipif(not CAMPAIGN_STEPS, reason="the campaign of 2026-11-26 does not ship")
def test_the_logs_of_the_campaign_are_sound() -> None:
    """Counted, metered and asked for elsewhere: by vLLM, by the meter, in the replay file."""
    assert len(CAMPAIGN_STEPS) >= 29
    for path in CAMPAIGN_STEPS:
        log, name = StepLog.read(path), path.name.removesuffix(".steps.csv.gz")
        ticks = Ticks.read(path.with_name(f"{name}.ticks.csv.gz"))
        assert ticks.energy_between(*log.window) == pytest.approx(log.facts["energy_j"], rel=3e-3)
        assert (log.gpu_seconds >= 0).all()
        assert log.gpu_seconds.sum() < log.facts["seconds"]
        read_log(path.with_name(f"{name}.states.csv.gz"), "states")
        requests = read_log(path.with_name(f"{name}.requests.csv.gz"), "requests").columns
        np.testing.assert_array_equal(requests["produced"], requests["output_tokens"])
        assert log.sums()["sampled"] == requests["output_tokens"].sum()
        if "replay" in log.facts:
            replay = Replay.load(path.parents[1] / log.facts["replay"])
            assert log.counts() == replay.engine_steps
