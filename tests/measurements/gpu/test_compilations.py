"""Kernels that Triton compiles within a window: a stand-in for Triton tells of them as it does."""

import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from joulecast.measurements.gpu import compilations
from joulecast.measurements.gpu.compilations import compiled_kernels
from joulecast.measurements.replay_session import ReplayRequests, ReplaySession
from joulecast.measurements.sweep.run_spec import RunSpec
from tests.measurements.fakes import FakeTime
from tests.measurements.traffic.fake_server import FakeServer, PricedGpu, Served

Compile = Callable[[str], None]


@pytest.fixture
def compile_kernel(monkeypatch: pytest.MonkeyPatch) -> Compile:
    """Compiles a kernel of a name, as Triton would."""
    runtime = SimpleNamespace(jit_post_compile_hook=None)
    triton = SimpleNamespace(knobs=SimpleNamespace(runtime=runtime))
    monkeypatch.setitem(sys.modules, "triton", triton)
    monkeypatch.setattr(compilations, "_kernels", [])

    def compile_kernel(name: str) -> None:
        if runtime.jit_post_compile_hook is not None:
            runtime.jit_post_compile_hook(key="", fn=SimpleNamespace(name=name), repr="")

    return compile_kernel


def test_who_was_told_before_goes_on_being_told(compile_kernel: Compile) -> None:
    told: list[str] = []
    runtime = sys.modules["triton"].knobs.runtime
    runtime.jit_post_compile_hook = lambda **event: told.append(event["fn"].name)
    compile_kernel("early")
    assert compiled_kernels() == []
    compile_kernel("late")
    assert compiled_kernels() == ["late"]
    assert told == ["early", "late"]


def test_a_hook_in_the_place_of_ours_is_told_and_ours_is_back(compile_kernel: Compile) -> None:
    told: list[str] = []
    runtime = sys.modules["triton"].knobs.runtime
    assert compiled_kernels() == []
    runtime.jit_post_compile_hook = lambda **event: told.append(event["fn"].name)
    assert compiled_kernels() == []
    compile_kernel("late")
    assert list(compiled_kernels()) == told == ["late"]
    hook = runtime.jit_post_compile_hook
    assert compiled_kernels()
    assert runtime.jit_post_compile_hook is hook


def test_without_triton_or_its_hook_nothing_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilations, "_kernels", [])
    monkeypatch.delitem(sys.modules, "triton", raising=False)
    assert compiled_kernels() == []
    monkeypatch.setitem(sys.modules, "triton", SimpleNamespace())
    assert compiled_kernels() == []


@pytest.mark.parametrize("arrivals", [None, (0.0, 0.5, 9.5)])
def test_a_replay_with_a_new_kernel_in_it_is_run_again(
    compile_kernel: Compile, arrivals: tuple[float, ...] | None
) -> None:
    gpu = PricedGpu(FakeTime())
    server = FakeServer(gpu=gpu)
    step, is_new = server.step, True
    notes: list[str] = []

    def step_and_compile() -> list[Served]:
        nonlocal is_new
        if is_new and notes and notes[-1].startswith("warm after"):
            compile_kernel("fused_moe_kernel")
            is_new = False
        return step()

    server.step = step_and_compile  # type: ignore[method-assign]
    session = ReplaySession(server, [gpu], notes.append, gpu.fake_time.clock, gpu.fake_time.sleep)
    result = session.run(ReplayRequests([(64, 300)] * 3, arrivals=arrivals), 1)
    sound, spoiled = result.runs
    assert sound.reason is None
    assert spoiled.reason == "kernels: compiled fused_moe_kernel"
    assert any("kernels: compiled fused_moe_kernel" in note for note in notes)


def test_kernels_without_end_leave_a_replay_that_does_not_count(compile_kernel: Compile) -> None:
    gpu = PricedGpu(FakeTime())
    server = FakeServer(gpu=gpu)
    step = server.step

    def step_and_compile() -> list[Served]:
        compile_kernel("fused_moe_kernel")
        return step()

    server.step = step_and_compile  # type: ignore[method-assign]
    clock, sleep = gpu.fake_time.clock, gpu.fake_time.sleep
    session = ReplaySession(server, [gpu], lambda _: None, clock, sleep)
    result = session.run(ReplayRequests([(64, 300)] * 2, arrivals=(0.0, 9.5)), 1)
    assert [run.reason for run in result.runs] == ["kernels: compiled fused_moe_kernel"] * 3


def test_a_sweep_makes_a_run_with_a_new_kernel_again(
    compile_kernel: Compile, stage: Callable[..., tuple]
) -> None:
    sweep, _ = stage()
    prepare, is_new = sweep.engine.prepare, True

    def prepare_and_compile(*shape: int) -> Callable[[], int]:
        batch = prepare(*shape)

        def run() -> int:
            nonlocal is_new
            if shape == spec.batch and is_new:
                compile_kernel("fused_moe_kernel")
                is_new = False
            return batch()

        return run

    spec = RunSpec(512, 64, 256, False, 1)
    sweep.engine.prepare = prepare_and_compile
    sweep._warm_up_batch = lambda todo: RunSpec(512, 64, 8, False, 1)
    sweep.run([spec])
    assert [run.reason for run in sweep.folder.runs] == ["kernels: compiled fused_moe_kernel", None]
