"""Serving engines behind one small protocol, one file each."""

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, Protocol, get_args, runtime_checkable

from joulecast.measurements.engines.decoding import (
    GREEDY,
    AcceptanceCount,
    Decoding,
    Speculation,
)
from joulecast.measurements.engines.step_log import RawStepLog
from joulecast.measurements.models import load_shape
from joulecast.measurements.shapes.shape import ModelShape
from joulecast.traces.errors import InputError, unknown_name

_MOST_SHARING = 16
"""GPUs up to which an error tells which numbers would do."""

MAX_BATCH_SIZE = 1024
"""Cap on B(I, O), as in the paper."""

ENGINES = {
    "pytorch": "joulecast.measurements.engines.pytorch",
    "vllm": "joulecast.measurements.engines.vllm",
}
"""Name -> module with `load`, `resolve`, `start_of` and `request_bytes`, which the functions below
call."""

Quantization = Literal["fp8"]
QUANTIZATIONS: tuple[Quantization, ...] = get_args(Quantization)

Batch = Callable[[], int]


class EngineError(InputError):
    """The engine crashed, ran out of memory, or lost its GPU."""


class DoesNotFitError(EngineError):
    """Not even one request of these lengths fits into the memory."""


class BatchTooLargeError(EngineError):
    """A batch ran out of memory; the engine goes on with smaller ones."""


def one_line(error: BaseException) -> str:
    """What an engine's own error says, for the line that the user sees."""
    return " ".join(str(error).split())[:300] or type(error).__name__


@dataclass(frozen=True)
class EngineVariant:
    """How an engine serves a model; None leaves the choice to the engine.

    Attributes:
        gpus: GPUs that share the model, tensor by tensor.
        compiled: Whether to compile.
        quantization: "fp8" for linear layers whose weights have 8 bits; None for the model's own.
        max_num_seqs: Most requests that run at once.
        max_num_batched_tokens: Most tokens that a step feeds.
        decoding: How output tokens are chosen.
        speculation: Which draft proposes them first; None for no draft.
    """

    gpus: int = 1
    compiled: bool | None = None
    quantization: Quantization | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    decoding: Decoding = GREEDY
    speculation: Speculation | None = None

    @property
    def is_plain(self) -> bool:
        """Whether every request is one sequence that gets a token a step."""
        return self.speculation is None and not self.decoding.is_beam_search


@dataclass(frozen=True)
class EngineRequest:
    """What to load.

    Attributes:
        model: Short name of a shipped model, or a folder with a config.json.
        config: The model's config.
        weights: Folder with weights; None to draw them from N(0, 0.02).
        variant: How to serve it, as `resolve_variant` has it.
        longest: Input and output of the longest request of the plan together [tokens].
    """

    model: str
    config: Mapping[str, Any]
    weights: Path | None
    variant: EngineVariant
    longest: int


@dataclass
class EngineSteps:
    """What an engine says that its own scheduler did.

    Attributes:
        steps: Steps that fed anything.
        tokens: Tokens fed.
        preempted: How often a request had to give its cache back.
    """

    steps: int = 0
    tokens: int = 0
    preempted: int = 0


class Engine(Protocol):
    """A model in a serving engine, ready to run batches of equal requests."""

    @property
    def name(self) -> str:
        """Name of the engine, as in table paths."""

    @property
    def version(self) -> str:
        """Its version."""

    @property
    def dtype(self) -> str:
        """Number format of the weights."""

    @property
    def weights(self) -> str:
        """Where the weights come from, in words."""

    def settings(self) -> dict[str, Any]:
        """The settings that the engine runs with, as it resolved them."""

    def capacity(self, input_tokens: int, output_tokens: int) -> int:
        """B(I, O): the largest batch that it holds, at most 1,024.

        Raises:
            DoesNotFitError: Not even one such request does.
            EngineError: The engine crashed.
        """

    def capacity_record(self) -> dict[str, Any]:
        """How B(I, O) was found, for table.json.

        Returns:
            `how`, in words; if it was searched for, also `gpu_seconds`, `tries`, and `found`: I, O,
            the largest batch and the first that failed (None if the cap fits) per cell.
        """

    def prepare(self, input_tokens: int, output_tokens: int, batch_size: int) -> Batch:
        """Make a batch of requests of exactly these lengths ready to run, outside the window.

        Returns:
            A function that runs the batch and returns the output tokens produced; it may be called
            again and again. It raises `BatchTooLargeError` if it runs out of memory and
            `EngineError` if the engine crashes; so may this method itself.
        """


@runtime_checkable
class ContinuousEngine(Engine, Protocol):
    """An engine that schedules requests of different lengths by itself."""

    def prepare_requests(self, lengths: Sequence[tuple[int, int]]) -> Batch:
        """Make requests of these lengths (I, O) ready to be asked all at once; as `prepare`."""

    def record_steps(self) -> EngineSteps:
        """Count the engine's own steps from now on, from zero.

        Raises:
            EngineError: This version does not let itself be counted.
        """


@runtime_checkable
class LimitableEngine(ContinuousEngine, Protocol):
    """An engine that can be told, between runs, how many requests run at once."""

    def limit_running(self, most: int | None) -> None:
        """Run so many at once at most, from now on; None for as many as it was started for.

        Raises:
            EngineError: It was started for fewer, or this version does not let itself be limited.
        """


def count_steps(engine: Engine, note: Callable[[str], None]) -> EngineSteps | None:
    """Count an engine's steps from now on, where it has a scheduler that can be watched.

    Args:
        engine: Loaded.
        note: Told why a scheduler cannot be.
    """
    if not isinstance(engine, ContinuousEngine):
        return None
    try:
        return engine.record_steps()
    except EngineError as error:
        note(str(error))
        return None


@runtime_checkable
class SteppedEngine(Engine, Protocol):
    """An engine whose steps can be logged one by one; off, that costs it nothing."""

    def start_step_log(self) -> None:
        """Keep what each step feeds, and when, from now on, when the engine has nothing to do.

        Raises:
            EngineError: This version, or this setting, does not let its steps be logged.
        """

    def stop_step_log(self) -> RawStepLog:
        """Keep no more; what was kept since `start_step_log`, reckoned up.

        Raises:
            EngineError: It was not started.
        """


@runtime_checkable
class RetunableEngine(Engine, Protocol):
    """An engine that serves some other variants without another start."""

    def retune(self, variant: EngineVariant) -> None:
        """Serve a variant of the same `start_of` from now on, when there is nothing to do."""


def retune(engine: Engine, variant: EngineVariant) -> None:
    """Have a loaded engine serve another variant of the same `start_of`.

    Raises:
        EngineError: It takes a new engine for that.
    """
    if not isinstance(engine, RetunableEngine):
        raise EngineError(f"{engine.name} serves one variant only; measure others by a new command")
    with crashes_named(engine):
        engine.retune(variant)


@runtime_checkable
class SpeculatingEngine(Engine, Protocol):
    """An engine that counts what it accepts of a draft's tokens."""

    def record_acceptance(self) -> AcceptanceCount:
        """Count from now on, from zero.

        Raises:
            EngineError: It runs without a draft, or this version does not let itself be counted.
        """


class RequestStream(Protocol):
    """Requests that are handed to an engine over time, told by their number from 0."""

    @property
    def is_busy(self) -> bool:
        """Whether any request that was added is not done."""

    def add(self, number: int) -> str:
        """Hand over a request; what the engine's log of steps calls it."""

    def step(self) -> Mapping[int, int]:
        """One step of the engine: request -> tokens that came out, of those that ended in it."""

    def abort(self) -> None:
        """Cut off all that is not done."""


@runtime_checkable
class StreamingEngine(ContinuousEngine, Protocol):
    """An engine that takes requests while it runs others."""

    def prepare_stream(self, lengths: Sequence[tuple[int, int]]) -> RequestStream:
        """Make requests of these lengths (I, O) ready to be handed over, outside the window."""


@contextmanager
def crashes_named(engine: Engine) -> Iterator[None]:
    """Errors of an engine's own kind as ours, which end a command with a line."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise EngineError(f"{engine.name} crashed: {one_line(error)}") from error


def load_engine(name: str, request: EngineRequest) -> Engine:
    """Start an engine with a model.

    Raises:
        InputError: No such engine; the nearest is suggested.
        EngineError: It is not installed, does not start, has no such variant, or the weights are of
            another model.
    """
    variant = resolve_variant(name, request.variant)
    if request.weights is not None:
        _require_same_model(request.model, request.weights)
    engine: Engine = _module(name).load(replace(request, variant=variant))
    return engine


def resolve_variant(engine: str, variant: EngineVariant) -> EngineVariant:
    """A variant with what an engine chooses by itself, as far as that is certain before it starts.

    Raises:
        InputError: No such engine; the nearest is suggested.
        EngineError: The engine has no such variant.
    """
    if variant.speculation is not None and variant.decoding != GREEDY:
        raise EngineError(
            f"speculation is measured with greedy decoding, not with {variant.decoding.text}; "
            "leave --decoding or --speculate out"
        )
    resolved: EngineVariant = _module(engine).resolve(variant)
    return resolved


def start_of(engine: str, variant: EngineVariant) -> EngineVariant:
    """What an engine is started as: variants of one start take turns on one engine.

    Args:
        engine: Name.
        variant: As `resolve_variant` has it.

    Raises:
        InputError: No such engine; the nearest is suggested.
    """
    started: EngineVariant = _module(engine).start_of(variant)
    return started


def require_shareable(shape: ModelShape, gpus: int) -> None:
    """Refuse so many GPUs that a model's heads cannot be shared out evenly.

    Key and value heads may be fewer than GPUs, which then hold copies.

    Raises:
        EngineError: They cannot.
    """
    if not can_share(shape, gpus):
        able = [str(n) for n in range(1, _MOST_SHARING + 1) if can_share(shape, n)]
        raise EngineError(
            f"{shape.name}: {gpus} GPUs cannot share its {shape.attention_heads} attention heads "
            f"and {shape.key_value_heads} key and value heads evenly; {', '.join(able)} can"
        )


def can_share(shape: ModelShape, gpus: int) -> bool:
    """Whether so many GPUs can share a model's heads out evenly."""
    few, many = sorted((shape.key_value_heads, gpus))
    return not shape.attention_heads % gpus and not many % few


def _require_same_model(model: str, weights: Path) -> None:
    shape, shape_of_weights = load_shape(model), load_shape(str(weights))
    if replace(shape_of_weights, name=shape.name) != shape:
        raise EngineError(
            f"{weights}: holds weights of another model than {model}; give its own as --model"
        )


def request_bytes(
    engine: str, shape: ModelShape, dtype: str, input_tokens: int, output_tokens: int
) -> float:
    """About how much memory one more request of a batch takes in an engine [bytes].

    Raises:
        InputError: No such engine; the nearest is suggested.
    """
    each: float = _module(engine).request_bytes(shape, dtype, input_tokens, output_tokens)
    return each


def _module(name: str) -> ModuleType:
    if name not in ENGINES:
        raise unknown_name("engine", name, ENGINES)
    return importlib.import_module(ENGINES[name])
