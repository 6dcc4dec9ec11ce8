"""Studies that ship, and the phases of their runs."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

import joulecast.measurements
from joulecast.measurements.steplog.columns import STEP_COLUMNS
from joulecast.measurements.steplog.files import log_path, write_log
from joulecast.measurements.sweep.phases import write_table_phases
from joulecast.measurements.table.phases import (
    PHASES_FILE,
    PhaseSplit,
    read_phases,
    write_phases,
)
from joulecast.measurements.table.studies import load_study, study_names, study_phases
from joulecast.traces.errors import InputError

ROOT = Path(joulecast.measurements.__file__).parent
SPLIT = PhaseSplit(512, 64, 8, 1, 12, 846.0, 15.5, 2030.25, 23.0, 3.1, 2879.4, 1.042, 3.943, 0)


@pytest.mark.parametrize("name", study_names())
def test_phases_are_of_the_runs_and_add_up(name: str) -> None:
    study = load_study(name)
    assert study.name == name
    runs = {run.key: run for run in study.runs}
    for split in study_phases(name):
        run = runs[(*split.batch, split.run)]
        assert split.metered_j == pytest.approx(run.energy_j, rel=1e-5)
        assert split.batches == run.batches
        assert split.prefill_seconds + split.decode_seconds <= run.seconds
        assert 0.9885 < split.sum_over_meter < 1.0095  # 98.9 to 100.9 %: docs/paper.md
        assert 0 < split.decode_share < 1


def test_studies_are_the_campaigns_byte_for_byte() -> None:
    shipped = ROOT / "studies/h200-sxm/qwen1.5-32b/vllm-tp2-batches"
    source = ROOT / "campaign-2026-11-26/h200-sxm/qwen1.5-32b-tp2-batches/vllm-tp2-batches"
    for name in ("table.json", "runs.csv", "host.csv", "by_gpu.csv"):
        assert (shipped / name).read_bytes() == (source / name).read_bytes()
    assert study_phases("nowhere/at/all") == []


def test_phases_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "phases.csv"
    write_phases(path, ["made up", "by hand"], [SPLIT])
    assert path.read_text().startswith("# made up\n# by hand\ninput_tokens,")
    (split,) = read_phases(path)
    assert asdict(split) == pytest.approx(asdict(SPLIT), rel=1e-5)


@pytest.mark.parametrize(
    ("before", "after", "fragment"),
    [
        ("prefill_j", "prefill", ":2: its columns must be"),
        (",846,", ",-846,", ':3: its prefill_j is "-846"'),
        (",846,", ",nan,", ':3: its prefill_j is "nan"'),
        (",846,", ",0,", ":3: its prefill_j is 0, which no phase"),
        (",846,", ",much,", 'its prefill_j is "much", which is no number'),
        ("512,64,", "512,", "has 13 values, not 14"),
    ],
)
def test_phases_that_cannot_be_true(before: str, after: str, fragment: str, tmp_path: Path) -> None:
    path = tmp_path / "phases.csv"
    write_phases(path, ["made up"], [SPLIT])
    path.write_text(path.read_text().replace(before, after, 1))
    with pytest.raises(InputError) as error:
        read_phases(path)
    assert fragment in str(error.value)


def test_two_powers_are_found_again(tmp_path: Path) -> None:
    """A card that draws 700 W in prefill, 450 W in decoding and 120 W idle, ticking in time."""
    prefill_w, decode_w, idle_w = 700.0, 450.0, 120.0
    steps, moments, powers = [], [100.0], []
    for _ in range(15):
        for k in range(60):
            seconds, power = (0.03, prefill_w) if k == 0 else (0.005, decode_w)
            begin = moments[-1]
            end = begin + seconds
            tokens = (0, 512, 0, 131072, 1, 1, 1) if k == 0 else (1, 0, 513, 0, 1, 0, 0)
            steps.append((begin, begin, end, end, *tokens, 1, 0, 0))
            moments.append(end)
            powers.append(power)
        moments.append(moments[-1] + 0.007)  # until the next batch
        powers.append(idle_w)
    assert len(steps[0]) == len(STEP_COLUMNS)
    energies_j = np.concatenate([[0.0], np.cumsum(np.diff(moments) * powers)])
    window = moments[0], moments[-1]
    facts = {
        "window_begin": window[0], "window_end": window[1], "idle_power_w": idle_w,
        "energy_j": energies_j[-1], "input_tokens": 512, "output_tokens": 60, "batch_size": 1,
        "run": 1, "batches": 15,
    }  # fmt: skip
    late_s = 0.02  # what a tick shows is what had been spent by then
    times = np.arange(window[0] - 0.3, window[1] + 0.3, 0.1)
    shown_j = np.interp(times - late_s, moments, energies_j)
    shown_j += idle_w * (times - late_s - np.clip(times - late_s, *window))
    ticks = [
        (0, at - 0.002, at - 0.001, at + 0.001, round(1000 * (1000 + joules)))
        for at, joules in zip(times, shown_j, strict=True)
    ]
    logs = tmp_path / "logs"
    logs.mkdir()
    prompts = [step for step in steps if step[5]]
    for name, of_run in (("512-60-1-1", steps), ("512-60-1-2", prompts)):
        write_log(log_path(logs, name, "steps"), "steps", facts, of_run)
        write_log(log_path(logs, name, "ticks"), "ticks", facts, ticks)
    notes: list[str] = []
    write_table_phases(tmp_path, notes.append)
    assert notes == [
        f"{log_path(logs, '512-60-1-2', 'steps')}: its ticks do not tell prefill from decoding",
        f"{tmp_path / PHASES_FILE}: prefill and decoding of 1 runs",
    ]
    (split,) = read_phases(tmp_path / PHASES_FILE)
    assert split.prefill_j == pytest.approx(15 * 0.03 * prefill_w, rel=0.005)
    assert split.decode_j == pytest.approx(15 * 59 * 0.005 * decode_w, rel=0.005)
    assert split.idle_j == pytest.approx(15 * 0.007 * idle_w, rel=0.005)
    assert split.sum_over_meter == pytest.approx(1, abs=0.002)
