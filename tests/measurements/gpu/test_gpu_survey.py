"""Asking GPUs for a bug report: cards in every state, in fake time, and nothing is ever set."""

import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from joulecast.measurements.gpu.survey import survey_gpus
from tests.measurements.fakes import FakeGpu, FakeTime
from tests.measurements.gpu.test_gpu_devices import NvmlError, refuse, stand_in

Survey = Callable[..., dict]


class Recorder(SimpleNamespace):
    """A module that notes what is asked of it."""

    def __getattribute__(self, name: str) -> object:
        if name.startswith("nvml"):
            ASKED.append(name)
        return super().__getattribute__(name)


ASKED: list[str] = []


@pytest.fixture
def survey(monkeypatch: pytest.MonkeyPatch) -> Survey:
    """Ask cards whose counters live in time; `gpus` are the cards, `changes` other answers."""

    def ask(*gpus: FakeGpu, **changes: object) -> dict:
        fake_time = FakeTime()
        cards = gpus or (FakeGpu(),)
        for card in cards:
            card.clock = fake_time.clock
        nvml = stand_in(
            nvmlDeviceGetCount=lambda: len(cards),
            nvmlSystemGetDriverVersion=lambda: "580.95.05",
            nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(total=85_520_809_984),
            nvmlDeviceGetTotalEnergyConsumption=lambda k: int(1000 * cards[k].energy_j()),
            nvmlDeviceGetName=lambda k: cards[k].product,
        )
        ASKED.clear()
        module = Recorder(**(vars(nvml) | changes))
        monkeypatch.setitem(sys.modules, "pynvml", module)
        return survey_gpus(fake_time.clock, fake_time.sleep)

    return ask


def test_cards_in_order(survey: Survey) -> None:
    answer = survey(FakeGpu(), FakeGpu(power_w=lambda _: 70.0))
    assert answer["driver"] == "580.95.05"
    assert answer["note"] is None
    for k, card in enumerate(answer["cards"]):
        assert card["index"] == k
        assert card["product"] == "NVIDIA H100 80GB HBM3"
        assert card["memory_bytes"] == 85_520_809_984
        assert card["power_limit_w"] == 700
        assert card["counter"] == "moves"
        assert card["energy_j"] > 1000
        assert card["mig"] == "Not Supported"
        assert card["processes"] == [1]
        assert card["data_sheet"] == "h100-sxm"
        assert card["problems"] == []


def test_nothing_is_changed(survey: Survey) -> None:
    survey()
    assert "nvmlDeviceGetTotalEnergyConsumption" in ASKED
    allowed = ("nvmlDeviceGet", "nvmlSystemGet", "nvmlInit")
    assert [name for name in ASKED if not name.startswith(allowed)] == []


def test_a_frozen_counter_beside_one_that_moves(survey: Survey) -> None:
    moving, frozen = survey(FakeGpu(), FakeGpu(fault=lambda now, energy_j: 1234.0))["cards"]
    assert (moving["counter"], moving["problems"]) == ("moves", [])
    assert (frozen["counter"], frozen["energy_j"]) == ("frozen", 1234)
    assert frozen["problems"] == ["its energy counter did not move for 2 s"]


def test_a_counter_that_was_reset(survey: Survey) -> None:
    reset = FakeGpu(fault=lambda now, energy_j: 1500.0 if now < 100.05 else 3.0)
    (card,) = survey(reset)["cards"]
    assert card["counter"] == "went back"
    assert card["problems"] == ["its energy counter went back, from 1500.0 to 3.0 J"]


def test_a_card_that_is_lost_while_it_is_watched(survey: Survey) -> None:
    def lost(now: float, energy_j: float) -> float:
        if now > 100.02:
            raise NvmlError("GPU is lost")
        return 1000.0

    card, other = survey(FakeGpu(fault=lost), FakeGpu())["cards"]
    assert card["counter"] == "unreadable"
    assert card["problems"] == ["its energy counter cannot be read (GPU is lost)"]
    assert other["counter"] == "moves"


@pytest.mark.parametrize(
    ("question", "problem", "lacks"),
    [
        ("nvmlDeviceGetName", "its name cannot be read (Unknown Error)", "product"),
        ("nvmlDeviceGetComputeRunningProcesses", "its processes cannot be read", "processes"),
        ("nvmlDeviceGetEnforcedPowerLimit", "its power limit cannot be read", "power_limit_w"),
        ("nvmlDeviceGetTotalEnergyConsumption", "its energy counter cannot be read", "energy_j"),
        ("nvmlDeviceGetMemoryInfo", None, "memory_bytes"),
    ],
)
@pytest.mark.parametrize("is_there", [True, False])
def test_one_question_that_fails(survey, question, problem, lacks, is_there: bool) -> None:
    def missing(*_: object) -> None:
        raise AttributeError(f"module 'pynvml' has no attribute '{question}'")

    (card,) = survey(**{question: refuse("Unknown Error") if is_there else missing})["cards"]
    assert card[lacks] is None
    assert len(card["problems"]) == (problem is not None)
    if problem is not None and is_there:
        assert card["problems"][0].startswith(problem)
    others = {"product", "processes", "power_limit_w", "energy_j", "memory_bytes"} - {lacks}
    assert all(card[name] is not None for name in others)


def test_a_card_without_data_sheet_one_split_by_mig_and_one_that_does_not_open(survey) -> None:
    def open_card(index: int) -> int:
        if index == 1:
            raise NvmlError("Insufficient Permissions")
        return index

    answer = survey(
        FakeGpu(product="NVIDIA GeForce GTX 970"),
        FakeGpu(),
        FakeGpu(),
        nvmlDeviceGetHandleByIndex=open_card,
        nvmlDeviceGetMigMode=lambda handle: [int(handle == 2), 0],
    )
    strange, closed, split = answer["cards"]
    assert strange["data_sheet"] is None
    assert "no data sheet" in strange["problems"][0]
    assert strange["mig"] == "off"
    assert closed["problems"] == ["cannot be opened (Insufficient Permissions)"]
    assert (closed["product"], closed["counter"]) == (None, "unreadable")
    assert split["mig"] == "on"
    assert "split by MIG" in split["problems"][0]
    assert split["counter"] == "moves"


@pytest.mark.parametrize(
    ("changes", "driver", "note"),
    [
        ({"nvmlInit": refuse("NVML Shared Library Not Found")}, None, "no NVIDIA driver answers"),
        ({"nvmlDeviceGetCount": refuse("Unknown Error")}, None, "no NVIDIA driver answers"),
        ({"nvmlDeviceGetCount": lambda: 0}, "580.95.05", "knows no GPU"),
    ],
)
def test_without_a_gpu(survey: Survey, changes, driver, note: str) -> None:
    answer = survey(**changes)
    assert answer["driver"] == driver
    assert note in answer["note"]
    assert answer["note"].endswith("estimating needs no GPU")
    assert answer["cards"] == []


def test_a_driver_that_does_not_tell_its_version(survey: Survey) -> None:
    answer = survey(nvmlSystemGetDriverVersion=refuse("Unknown Error"))
    assert answer["driver"] is None
    assert answer["cards"][0]["counter"] == "moves"


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    note = survey_gpus()["note"]
    assert note.startswith("nvidia-ml-py cannot be imported")
    assert "joulecast[measure]" in note
