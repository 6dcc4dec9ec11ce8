"""The measurements of this folder: models on one GPU with vLLM, each loaded once.

Per model a table of the quick (or full) plan, metered replays of real requests, and a window of
made-up traffic with arrivals; replays and traffic with a log of every engine step and of every tick
of the GPU's energy counter. The classes are joulecast's own, so tables and replays are what
`joulecast measure` and `joulecast replay` write. README.md beside this says what each file holds.

    python campaign.py draw TRACES DRAWS                   draws the replays' requests (needs no GPU)
    python campaign.py sitting NAME DRAWS RESULTS SECONDS  measures the models of one sitting
    python campaign.py poll TICKS STATES GPU...            the poller, which `sitting` starts itself

It ran with joulecast 0.2.0, whose packages lay at the top level (`git checkout 65a43be`).
"""

# mypy: ignore-errors
# ruff: noqa: BLE001, C901, D102, D103, E501, I001
# ruff: noqa: S101, S311, S603, SLF001, T201

import bisect
import contextlib
import csv
import gc
import gzip
import io
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

SEED = 7
"""Of the replays' draws and of the traffic."""

PAUSE_S = 2.0
"""Least idle time between two stretches of traffic [s]."""

TRAFFIC_LIMIT_S = 110.0
"""After so long, requests that are not done are cut off [s]."""

SMALL_WINDOW_S = 10.0
SMALL_LENGTHS = ((128, 128), (1024, 128), (4096, 256))
SMALL_BATCHES = (1, 2, 4, 8)

LONGEST_OUTPUT_S = 5.0
"""No request of the traffic decodes for longer, alone [s]; otherwise slow models would not end in time."""

POLL_S = 0.002
STATE_S = 1.0


# --- what is measured -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """One model under one setting.

    Attributes:
        model: Short name of a shipped model, or a name in MODELS.
        folder: Name of its folder of results.
        plan: Which plan of `joulecast measure`; None for none.
        budget_min: Its time budget [min].
        replays: Trace -> requests of it.
        costs: Whether the first replay is also run bare, to tell what logging costs.
        traffic: Whether a window of traffic is made.
        small: Whether twelve long windows of small batches are made.
        compiled: As `EngineRequest.compiled`.
        llm: Settings of vllm.LLM that differ from joulecast's.
        smaller: Further such settings for a second try, if the engine does not start.
        gpus: How many GPUs it runs on.
        rest: Whether the rest of the full plan is measured after all else, in the time that is left.
        pairs: So many further times the first replay is run, bare and logged by turns.
        limit_s: The job is ended after so long [s].
    """

    model: str
    folder: str = ""
    plan: str | None = "quick"
    budget_min: float | None = None
    replays: Mapping[str, int] = field(
        default_factory=lambda: {"azure-2023-conv": 400, "azure-2023-code": 400}
    )
    costs: bool = False
    traffic: bool = True
    small: bool = False
    compiled: bool | None = None
    llm: Mapping[str, Any] = field(default_factory=dict)
    smaller: Mapping[str, Any] | None = None
    gpus: int = 1
    rest: bool = False
    pairs: int = 0
    limit_s: float = 480.0

    @property
    def name(self) -> str:
        return self.folder or self.model


def requests(conv: int, code: int) -> dict[str, int]:
    return {"azure-2023-conv": conv, "azure-2023-code": code}


TIGHT = {"max_num_batched_tokens": 4096, "max_num_seqs": 256}

SITTINGS: dict[str, list[Job]] = {
    "h100": [
        Job("llama-3.2-1b", replays=requests(1000, 1500), costs=True),
        Job("olmoe-1b-7b", replays=requests(500, 1000)),
    ],
    "h100-second": [
        Job("qwen1.5-32b", replays=requests(200, 200), smaller=TIGHT, limit_s=560),
        Job("olmo-7b", replays=requests(500, 700)),
        Job("llama-3.2-3b", replays=requests(500, 600)),
        Job("olmo-1b", replays=requests(1000, 2000)),
    ],
    "h200": [
        Job("llama-3.1-8b", plan="full", budget_min=8.0, costs=True, limit_s=1000),
        Job("olmoe-1b-7b", replays=requests(500, 1000)),
        Job("qwen1.5-32b", replays=requests(200, 200), smaller=TIGHT, limit_s=560),
        Job("llama-3.2-1b", replays=requests(1000, 1500)),
    ],
    "h100-third": [
        Job("llama-3.1-8b", small=True, limit_s=640),
        Job("llama-3.1-8b", "llama-3.1-8b-fp8", llm={"quantization": "fp8"}),
        Job("llama-3.1-8b", "llama-3.1-8b-eager", compiled=False),
        Job(
            "llama-3.2-1b",
            "llama-3.2-1b-logging",
            plan=None,
            replays=requests(1000, 1500),
            traffic=False,
            pairs=8,
        ),
    ],
    "h100-fourth": [
        Job("llama-3.1-8b", "llama-3.1-8b-fp8", llm={"quantization": "fp8"}),
    ],
    "h100-pair": [
        Job("llama-3.1-8b", "llama-3.1-8b-tp2", gpus=2, limit_s=520),
        Job(
            "qwen1.5-32b",
            "qwen1.5-32b-tp2",
            gpus=2,
            plan=None,
            replays=requests(200, 200),
            limit_s=520,
        ),
    ],
    "h200-second": [
        Job("llama-3.1-8b", rest=True, limit_s=1200),
        Job("qwen1.5-32b", replays=requests(200, 200), traffic=False, limit_s=400),
    ],
    "h200-fourth": [
        Job(
            "llama-3.1-8b",
            plan="full",
            budget_min=14.0,
            replays={},
            traffic=False,
            limit_s=1200,
        ),
    ],
}

MODELS = {
    "llama-3.2-3b": {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_hidden_layers": 28,
        "num_attention_heads": 24,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 128256,
        "max_position_embeddings": 131072,
        "rope_theta": 500000.0,
        "rope_scaling": {
            "factor": 32.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
            "rope_type": "llama3",
        },
        "rms_norm_eps": 1e-05,
        "hidden_act": "silu",
        "bos_token_id": 128000,
        "eos_token_id": 128001,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "attention_bias": False,
        "mlp_bias": False,
        "initializer_range": 0.02,
    }
}
"""Configs of models that joulecast does not ship."""

FACTORS = {
    "llama-3.2-1b": 0.3, "olmo-1b": 0.3, "llama-3.2-3b": 0.5, "olmoe-1b-7b": 0.6, "olmo-7b": 1.0,
    "llama-3.1-8b": 1.0, "qwen1.5-32b": 4.0,
}  # fmt: skip
"""Rough times relative to Llama-3.1-8B, for traffic where no quick plan was run."""

LAW_8B = (6.6e-3, 22e-6, 52e-9, 0.5e-9)
"""Seconds per step, token, cached token and prompt pair of Llama-3.1-8B on an H100, roughly."""


# --- logs -----------------------------------------------------------------------------------------


def write_csv_gz(
    path: Path,
    facts: Mapping[str, Any],
    columns: Mapping[str, str],
    rows: Sequence[Sequence[Any]],
) -> None:
    """A gzipped CSV file that says itself what it holds: `#` lines, a header, rows; whole or not."""
    text = io.StringIO()
    for key, value in facts.items():
        text.write(f"# {key}: {json.dumps(value, ensure_ascii=False)}\n")
    for name, meaning in columns.items():
        text.write(f"# column {name}: {meaning}\n")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_plain(value) for value in row] for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.with_suffix(".part")
    with whole.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write(text.getvalue().encode())
    whole.replace(path)


def _plain(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) >= 1e5 else round(value, 6)
    return value


STEP_COLUMNS = {
    "schedule_begin": "when scheduling of the step began [s, monotonic clock]",
    "schedule_end": "when it ended; what follows launches the step [s, monotonic clock]",
    "output_at": "when the engine had this step's own output on the host: its work on the GPU was "
    "done by then [s, monotonic clock]; empty if it never was asked for",
    "returned": "when the engine call that gave this output returned [s, monotonic clock]",
    "decoding": "requests that decode, one token each",
    "prompt_tokens": "prompt tokens fed; after a preemption, all tokens fed once more",
    "context": "cached tokens that the decoding requests read, the new one included [tokens]",
    "pairs": "prompt query-key pairs: (after^2 - before^2) / 2 a chunk that brings a request from "
    "`before` to `after` tokens",
    "sampled": "tokens that come out: decoding + prompts_completed",
    "prompts_fed": "requests that are fed prompt tokens",
    "prompts_completed": "of these, those whose prompt ends in this step",
    "running": "requests that run, after scheduling",
    "waiting": "requests that wait, after scheduling",
    "preempted": "requests that had to give their cache back in this scheduling",
}

CALL_COLUMNS = {
    "begin": "when a call of the engine's step() began [s, monotonic clock]",
    "returned": "when it returned; with asynchronous scheduling it has scheduled a step and gives "
    "the output of an earlier one, or of none [s, monotonic clock]",
}

REQUEST_COLUMNS = {
    "segment": "stretch of the traffic; empty in a replay, where all requests are asked at once",
    "arrival": "when the request was to arrive [s, monotonic clock]",
    "added": "when it was handed to the engine, between two steps [s, monotonic clock]",
    "input_tokens": "prompt [tokens]",
    "output_tokens": "asked for [tokens]",
    "scheduled": "when the scheduling that took it in began [s, monotonic clock]",
    "first_token": "when the engine call that gave its first token returned [s, monotonic clock]",
    "finish": "when the engine call that gave its last token returned [s, monotonic clock]",
    "produced": "output tokens that the log saw sampled",
    "preempted": "how often it had to give its cache back",
    "cut": "1 if it was cut off at the time limit, else 0",
}

TICK_COLUMNS = {
    "gpu": "index of the GPU",
    "not_before": "when the last call began that still showed the old value [s, monotonic clock]",
    "begin": "when the call began that first showed this value [s, monotonic clock]",
    "end": "when that call returned [s, monotonic clock]",
    "energy_mj": "total energy counter of the GPU [mJ]",
}

STATE_COLUMNS = {
    "gpu": "index of the GPU",
    "at": "when it was read, just after a tick was seen [s, monotonic clock]",
    "temperature_c": "GPU temperature [deg C]",
    "sm_mhz": "SM clock [MHz]",
    "memory_mhz": "memory clock [MHz]",
    "throttle_bits": "NVML's current clocks event reasons, as bits (4 is the power cap, 1 idle)",
}


class StepRecorder:
    """Logs every step of a vLLM engine that runs in this process.

    What a step fed is kept as vLLM's own numbers of tokens per request and reckoned up afterwards,
    so that the engine waits little for it. The output of a step is told by the scheduler being
    given it back, so nothing is guessed about how far asynchronous scheduling runs ahead.
    """

    def __init__(self, llm_engine: Any) -> None:
        self.scheduler = llm_engine.engine_core.engine_core.scheduler
        self.is_on = False
        self._clear()
        clock = time.monotonic
        own_schedule = self.scheduler.schedule
        own_update = self.scheduler.update_from_output
        own_step = llm_engine.step
        scheduler = self.scheduler

        def schedule(*args: Any, **options: Any) -> Any:
            if not self.is_on:
                return own_schedule(*args, **options)
            begin = clock()
            output = own_schedule(*args, **options)
            end = clock()
            preempted = output.preempted_req_ids
            if output.total_num_scheduled_tokens or preempted:
                for new in output.scheduled_new_reqs:
                    self.prompts.setdefault(new.req_id, len(new.prompt_token_ids))
                    self.cached.setdefault(new.req_id, new.num_computed_tokens)
                self._pending[id(output)] = len(self.raw)
                self.raw.append(
                    (
                        begin,
                        end,
                        dict(output.num_scheduled_tokens),
                        tuple(preempted) if preempted else (),
                        len(scheduler.running),
                        len(scheduler.waiting),
                    )
                )
            return output

        def update_from_output(scheduler_output: Any, *args: Any, **options: Any) -> Any:
            if self.is_on:
                k = self._pending.pop(id(scheduler_output), None)
                if k is not None:
                    self.output_at[k] = clock()
            return own_update(scheduler_output, *args, **options)

        def step() -> Any:
            if not self.is_on:
                return own_step()
            begin = clock()
            outputs = own_step()
            self.calls.append((begin, clock()))
            return outputs

        scheduler.schedule = schedule
        scheduler.update_from_output = update_from_output
        llm_engine.step = step

    def _clear(self) -> None:
        self.raw: list[tuple[Any, ...]] = []
        self.calls: list[tuple[float, float]] = []
        self.output_at: dict[int, float] = {}
        self.prompts: dict[str, int] = {}
        self.cached: dict[str, int] = {}
        self._pending: dict[int, int] = {}

    def start(self) -> None:
        """From now on; the engine must have nothing to do."""
        self._clear()
        self.is_on = True

    def stop(self) -> "StepLog":
        self.is_on = False
        return StepLog.of(self)


@dataclass
class StepLog:
    """Rows of STEP_COLUMNS, of CALL_COLUMNS, and what each request went through."""

    steps: list[list[Any]]
    calls: list[tuple[float, float]]
    requests: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, recorder: StepRecorder) -> "StepLog":
        returns = [end for _, end in recorder.calls]
        computed = dict(recorder.cached)
        target = dict(recorder.prompts)
        requests: dict[str, dict[str, Any]] = {}
        steps: list[list[Any]] = []
        for k, (begin, end, fed, preempted, running, waiting) in enumerate(recorder.raw):
            output_at = recorder.output_at.get(k)
            j = len(returns) if output_at is None else bisect.bisect_left(returns, output_at)
            returned = returns[j] if j < len(returns) else None
            for key in preempted:
                if key in requests:
                    requests[key]["preempted"] += 1
                    # Its prompt and all that came out so far are fed to it again.
                    target[key] = recorder.prompts[key] + requests[key]["produced"]
                    computed[key] = 0
            decoding = prompt_tokens = context = fed_prompts = completed = 0
            pairs = 0.0
            for key, tokens in fed.items():
                before = computed.get(key, 0)
                after = computed[key] = before + tokens
                if key not in requests:
                    requests[key] = {"scheduled": begin, "produced": 0, "preempted": 0,
                                     "first_token": None, "finish": None}  # fmt: skip
                request = requests[key]
                if before >= target.get(key, 0):
                    decoding += 1
                    context += after
                else:
                    prompt_tokens += tokens
                    fed_prompts += 1
                    pairs += (after * after - before * before) / 2
                    completed += after >= target[key]
                if after >= target.get(key, 0):
                    request["produced"] += 1
                    request["finish"] = returned
                    if request["first_token"] is None:
                        request["first_token"] = returned
            if fed:
                steps.append(
                    [begin, end, output_at, returned, decoding, prompt_tokens, context, pairs,
                     decoding + completed, fed_prompts, completed, running, waiting,
                     len(preempted)]
                )  # fmt: skip
            elif preempted and steps:
                steps[-1][-1] += len(preempted)
        return cls(steps, list(recorder.calls), requests)

    def counts(self) -> dict[str, int]:
        """Steps, tokens and preemptions, as `EngineSteps` has them."""
        return {
            "steps": len(self.steps),
            "tokens": sum(row[4] + row[5] for row in self.steps),
            "preempted": sum(row[-1] for row in self.steps),
        }


def poll(ticks: Path, states: Path, indices: Sequence[int]) -> None:
    """Write every change of the energy counters, until ended."""
    import pynvml as nvml

    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    parent = os.getppid()
    nvml.nvmlInit()
    handles = {k: nvml.nvmlDeviceGetHandleByIndex(k) for k in indices}
    shown: dict[int, int | None] = dict.fromkeys(indices)
    old = dict.fromkeys(indices, 0.0)
    next_state = dict.fromkeys(indices, 0.0)
    with ticks.open("w") as out, states.open("w") as out_states:
        while not stopped and os.getppid() == parent:
            for k, handle in handles.items():
                begin = time.monotonic()
                energy_mj = nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
                end = time.monotonic()
                if energy_mj != shown[k]:
                    if shown[k] is not None:
                        out.write(f"{k},{old[k]:.6f},{begin:.6f},{end:.6f},{energy_mj}\n")
                        out.flush()
                    shown[k] = energy_mj
                    if end >= next_state[k]:
                        next_state[k] = end + STATE_S
                        values = (
                            nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
                            nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
                            nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM),
                            nvml.nvmlDeviceGetCurrentClocksEventReasons(handle),
                        )
                        out_states.write(",".join(map(str, (k, f"{end:.6f}", *values))) + "\n")
                        out_states.flush()
                old[k] = begin
            time.sleep(POLL_S)


class Poller:
    """The poller in a process of its own, while it is needed."""

    def __init__(self, indices: Sequence[int]) -> None:
        self._indices = [str(k) for k in indices]

    def __enter__(self) -> Self:
        folder = Path(os.environ.get("TMPDIR", "/tmp"))  # noqa: S108 - short-lived
        self._paths = [folder / f"campaign-{os.getpid()}-{name}" for name in ("ticks", "states")]
        for path in self._paths:
            path.unlink(missing_ok=True)
        own = str(Path(__file__).resolve())
        self._process = subprocess.Popen(
            [sys.executable, own, "poll", *map(str, self._paths), *self._indices]
        )
        waited = time.monotonic()
        while not (self._paths[0].exists() and self._paths[0].stat().st_size):
            if time.monotonic() - waited > 20 or self._process.poll() is not None:
                raise RuntimeError("the poller does not start")
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def save(self, folder: Path, name: str, facts: Mapping[str, Any]) -> None:
        """Call it after the end."""
        for path, kind, columns in zip(
            self._paths, ("ticks", "states"), (TICK_COLUMNS, STATE_COLUMNS), strict=True
        ):
            rows = [line.split(",") for line in path.read_text().splitlines()]
            rows = [row for row in rows if len(row) == len(columns)]
            write_csv_gz(folder / f"{name}.{kind}.csv.gz", facts, columns, rows)


@dataclass
class Stopwatch:
    """A clock that keeps when a metered window began and ended.

    The meter asks it right before the work begins, and first thing after it has ended.
    """

    last: float = 0.0
    begin: float | None = None
    end: float | None = None

    def clock(self) -> float:
        now = time.monotonic()
        if self.begin is None:
            self.last = now
        elif self.end is None:
            self.end = now
        return now

    def watch(self, work: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> Any:
            begin = self.last
            result = work()
            self.begin = begin
            return result

        return run


@dataclass
class HostUse:
    """What this process got of the host, as joulecast's HostWatch has it."""

    def __post_init__(self) -> None:
        import psutil

        self._psutil, self._process = psutil, psutil.Process()
        self._before = self._count()

    def _count(self) -> tuple[float, float, int]:
        own = self._process.cpu_times()
        steal = float(getattr(self._psutil.cpu_times(), "steal", 0.0))
        return own.user + own.system, steal, self._process.num_ctx_switches().involuntary

    def used(self) -> dict[str, float]:
        names = ("cpu_seconds", "stolen_seconds", "preemptions")
        pairs = zip(names, self._before, self._count(), strict=True)
        return {name: round(after - before, 2) for name, before, after in pairs}


# --- traffic --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Segment:
    """A stretch of traffic.

    Attributes:
        name: What it stands for.
        requests: (offset [s], input, output) each.
        rate: Requests a second that were aimed at; 0 if they were placed otherwise.
        load: Share of the model's pace that this is, by the law of its quick runs.
    """

    name: str
    requests: list[tuple[float, int, int]]
    rate: float = 0.0
    load: float = 0.0


def make_segments(
    law: Sequence[float], longest: int, cache_tokens: int, generator: random.Random
) -> list[Segment]:
    """Mixed traffic, its rates by how fast the model is.

    Args:
        law: Seconds per step, token, cached token and prompt pair.
        longest: Input and output of a request together [tokens].
        cache_tokens: KV cache [tokens].
        generator: Source of randomness.
    """
    step_s = law[0]
    pace = LAW_8B[0] / step_s

    def lengths(
        inputs: tuple[float, float, int, int], outputs: tuple[float, float, int, int]
    ) -> tuple[int, int]:
        median, spread, low, high = outputs
        o = int(min(high, max(low, generator.lognormvariate(math.log(median), spread))))
        o = max(1, min(o, longest // 2, int(LONGEST_OUTPUT_S / step_s)))
        median, spread, low, high = inputs
        i = int(min(high, max(low, generator.lognormvariate(math.log(median), spread))))
        return max(1, min(i, longest - o)), max(1, o)

    def steady(
        name: str,
        seconds: float,
        load: float,
        inputs: tuple[float, float, int, int],
        outputs: tuple[float, float, int, int],
    ) -> Segment:
        sample = [lengths(inputs, outputs) for _ in range(400)]
        held = sum(i + o / 2 for i, o in sample) / len(sample)
        batch = max(1.0, min(128.0, 0.8 * cache_tokens / held))
        each_s = sum(_request_seconds(law, i, o, batch) for i, o in sample) / len(sample)
        rate = load / each_s
        made, at = [], 0.0
        while (at := at + generator.expovariate(rate)) < seconds:
            made.append((at, *lengths(inputs, outputs)))
        if not made:
            made.append((seconds / 2, *lengths(inputs, outputs)))
        return Segment(name, made, round(rate, 3), load)

    def at_once(
        name: str,
        seconds: float,
        count: int,
        inputs: tuple[float, float, int, int],
        outputs: tuple[float, float, int, int],
    ) -> Segment:
        ats = sorted(generator.random() * seconds for _ in range(count))
        return Segment(name, [(at, *lengths(inputs, outputs)) for at in ats])

    alone, at = [], 0.0
    while True:
        i, o = lengths((300, 0.8, 20, 3000), (min(150, max(30, 150 * pace)), 0.4, 20, 300))
        took = _request_seconds(law, i, o, 1)
        if alone and at + took > 7.0:
            break
        alone.append((at, i, o))
        at += 1.4 * took + 0.15
    decode = int(min(250 * min(2.0, max(1.0, pace)), 0.5 * cache_tokens / 420))
    short = int(600 * min(1.0, max(0.3, pace)))
    server = (900.0, 0.9, 20, 7000), (200.0, 0.6, 10, 700)

    def so_many(
        seconds: float,
        inputs: tuple[float, float, int, int],
        outputs: tuple[float, float, int, int],
    ) -> int:
        """Requests that keep the GPU busy for so long, in large batches."""
        sample = [lengths(inputs, outputs) for _ in range(200)]
        held = sum(i + o / 2 for i, o in sample) / len(sample)
        batch = max(1.0, min(128.0, 0.8 * cache_tokens / held))
        each_s = sum(_request_seconds(law, i, o, batch) for i, o in sample) / len(sample)
        return max(2, round(seconds / each_s))

    prompts = (1500.0, 0.8, 50, 8000), (4.0, 0.5, 1, 12)
    mixed = (900.0, 0.9, 20, 7000), (80.0, 0.8, 8, 400)
    return [
        Segment("alone", alone),
        steady("long prompts", 5.0, 0.4, (5000, 0.3, 1000, 9000), (8, 0.3, 2, 16)),
        steady("usual server", 9.0, 0.35, *server),
        at_once("many decoding", 2.0, decode, (120, 0.6, 16, 500), (300, 0.3, 100, 600)),
        steady("near saturation", 9.0, 0.85, *server),
        at_once("short bursts", 1.0, short, (50, 0.5, 8, 200), (12, 0.4, 4, 30)),
        at_once("prompts back to back", 0.5, so_many(4.0, *prompts), *prompts),
        at_once("all at once", 0.5, so_many(6.0, *mixed), *mixed),
    ]


def _request_seconds(law: Sequence[float], i: int, o: int, batch: float) -> float:
    step, token, context, pair = law
    fed = (i + o - 1) * token + i * i / 2 * pair
    return fed + (o - 1) * (i + o / 2) * context + o * step / batch


@dataclass
class Traffic:
    """Requests with arrivals, and what became of them."""

    engine: Any
    segments: Sequence[Segment]
    note: Callable[[str], None]
    items: list[dict[str, Any]] = field(default_factory=list)
    spans: list[dict[str, Any]] = field(default_factory=list)
    produced: int = 0

    def prepare(self, generator: random.Random) -> None:
        """Prompts of random token ids, before anything is metered."""
        from vllm.sampling_params import RequestOutputKind

        vllm, vocabulary = self.engine._vllm, range(self.engine._vocabulary)
        for segment in self.segments:
            for offset, i, o in segment.requests:
                sampling = vllm.SamplingParams(
                    temperature=0.0, min_tokens=o, max_tokens=o, ignore_eos=True, detokenize=False
                )
                sampling.output_kind = RequestOutputKind.FINAL_ONLY
                prompt = {"prompt_token_ids": generator.choices(vocabulary, k=i)}
                self.items.append(
                    {"segment": segment.name, "offset": offset, "input_tokens": i,
                     "output_tokens": o, "prompt": prompt, "sampling": sampling, "cut": 0,
                     "arrival": None, "added": None, "finish": None, "id": None}
                )  # fmt: skip

    def serve(self) -> None:
        """One segment after the other, each at least PAUSE_S after the last has drained."""
        llm_engine = self.engine._llm.llm_engine
        clock, sleep = time.monotonic, time.sleep
        began = clock()
        end = began + TRAFFIC_LIMIT_S
        by_id: dict[str, dict[str, Any]] = {}
        number = 0
        sleep(PAUSE_S)
        for segment in self.segments:
            items = self.items[number : number + len(segment.requests)]
            start = clock()
            for item in items:
                item["arrival"] = start + item["offset"]
            k = 0
            while k < len(items) or llm_engine.has_unfinished_requests():
                now = clock()
                if now > end:
                    break
                while k < len(items) and items[k]["arrival"] <= now:
                    item = items[k]
                    item["id"] = llm_engine.add_request(
                        f"q{number + k}", item["prompt"], item["sampling"]
                    )
                    item["added"] = clock()
                    by_id[f"q{number + k}"] = item
                    k += 1
                if llm_engine.has_unfinished_requests():
                    outputs = llm_engine.step()
                    if outputs:
                        returned = clock()
                        for output in outputs:
                            if output.finished:
                                by_id[output.request_id]["finish"] = returned
                                self.produced += len(output.outputs[0].token_ids)
                else:
                    sleep(max(0.0, min(0.002, items[k]["arrival"] - clock())))
            number += len(items)
            drained = clock()
            self.spans.append(
                {"name": segment.name, "begin": round(start, 6), "drained": round(drained, 6),
                 "requests": len(items), "rate_aimed_at": segment.rate, "load": segment.load}
            )  # fmt: skip
            if drained > end:
                self._cut(llm_engine, by_id)
                break
            sleep(PAUSE_S)

    def _cut(self, llm_engine: Any, by_id: Mapping[str, dict[str, Any]]) -> None:
        left = [key for key, item in by_id.items() if item["finish"] is None]
        for item in self.items:
            item["cut"] = int(item["finish"] is None)
        llm_engine.abort_request(left)
        while llm_engine.has_unfinished_requests():
            llm_engine.step()
        llm_engine.step()
        self.note(f"traffic cut off at its limit: {sum(i['cut'] for i in self.items)} requests")

    @property
    def asked(self) -> int:
        return sum(item["output_tokens"] for item in self.items)


# --- one model ------------------------------------------------------------------------------------


class Bench:
    """A loaded engine on one card, and where its results go."""

    def __init__(self, job: Job, draws: Mapping[str, Any], results: Path, until: float) -> None:
        self.job, self.draws, self.until = job, draws[job.model], until
        self.began = time.monotonic()
        from measurements.gpu_devices import choose_gpus, open_gpus

        from measurements.hardware import find_gpu

        indices = tuple(range(job.gpus)) if job.gpus > 1 else ()
        self.gpus = open_gpus(choose_gpus(indices, os.environ))
        self.sheet = find_gpu(self.gpus[0].product)
        self.folder = results / self.sheet.name / job.name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.idle_power_w: float | None = None
        self.law: Sequence[float] = [FACTORS[job.model] * value for value in LAW_8B]
        self.law_source = "a table of rough factors"

    def note(self, text: str) -> None:
        with (self.folder / "run.log").open("a") as file:
            file.write(f"[{time.monotonic() - self.began:6.1f} s] {text}\n")

    def left_s(self) -> float:
        return self.until - time.monotonic()

    def load(self, llm: Mapping[str, Any]) -> None:
        from measurements.engines import EngineRequest, load_engine
        from measurements.models import load_config, model_names

        job = self.job
        self.model = job.model
        if job.model not in model_names():
            path = self.folder / "model" / job.model / "config.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(MODELS[job.model], indent=2) + "\n")
            self.model = str(path)
        self.config = load_config(self.model)
        self._wait_for_memory()
        from estimator.measure_plan import longest_request

        positions = int(self.config["max_position_embeddings"])
        drawn = max(i + o for draw in self.draws.values() for i, o in draw["lengths"])
        self.longest = min(positions, max(longest_request(self.config), drawn))
        self.note(
            f"{datetime.now(UTC).isoformat(timespec='seconds')} {self.gpus[0].product} "
            f"{self.gpus[0].uuid}: starting vllm with {job.model}"
            + (f", other settings: {dict(llm)}" if llm else "")
        )
        if llm:
            import vllm

            own = vllm.LLM
            vllm.LLM = lambda **options: own(**{**options, **llm})
        if llm.get("quantization") == "fp8":
            import measurements.engines.vllm as engine_module

            engine_module.draw_weights = draw_fp8_weights
            need_fp8_alone()
        request = EngineRequest(
            self.model, self.config, None, job.compiled, self.longest, len(self.gpus)
        )
        self.engine = load_engine("vllm", request)
        if llm:
            settings = self.engine.settings
            self.engine.settings = lambda: {**settings(), **llm}
        self.recorder = StepRecorder(self.engine._llm.llm_engine)
        self.note(f"loaded; {json.dumps(self.engine.settings())}")

    def _wait_for_memory(self) -> None:
        """Until the process before has given the GPU back."""
        for _ in range(100):
            gpu = self.gpus[0]
            used = gpu.nvml.nvmlDeviceGetMemoryInfo(gpu.handle).used
            if used < 2e9:
                return
            time.sleep(0.3)
        self.note(f"{used / 1e9:.1f} GB of the GPU are still taken")

    def cost(self) -> Any:
        from estimator.measure_plan import cost_model
        from measurements.cost import rough_cost

        from measurements.models import load_shape

        try:
            return cost_model(self.sheet, self.model, "vllm", self.engine.dtype)
        except ImportError:
            return rough_cost(load_shape(self.model), self.sheet, self.engine.dtype)

    def table(self) -> None:
        """What `joulecast measure --plan ... --runs 1` does."""
        from estimator.measure_plan import Wanted, longest_request

        job = self.job
        wanted = Wanted(
            self.model, "vllm", job.plan, 1, 0, job.budget_min, longest_request(self.config),
            job.compiled,
        )  # fmt: skip
        cost = self.cost()
        name = {"full": "vllm", "quick": "vllm-quick"}[job.plan]
        if job.gpus > 1:
            name = name.replace("vllm", f"vllm-tp{job.gpus}")
        if (self.folder / name / "table.json").exists():
            wanted = wanted.after(self.folder / name)
        plan, left_out = wanted.plan(self.engine.capacity, cost)
        budget_s = None if job.budget_min is None else 60 * job.budget_min
        runs = self.sweep(name, plan, cost, left_out, budget_s)
        self.use_law(runs)

    def small_batches(self) -> None:
        """Twelve windows of 10 s of one to eight requests."""
        from measurements.plans import RunSpec

        plan = [
            RunSpec(i, o, b, False, 1)
            for i, o in SMALL_LENGTHS
            for b in SMALL_BATCHES
            if i + o <= self.longest
        ]
        random.Random(SEED).shuffle(plan)
        self.sweep("vllm-small", plan, self.cost(), [], None, SMALL_WINDOW_S)

    def sweep(
        self,
        name: str,
        plan: Sequence[Any],
        cost: Any,
        left_out: Sequence[Any],
        budget_s: float | None,
        window_s: float | None = None,
    ) -> Sequence[Any]:
        from estimator.measure_plan import model_name
        from measurements.host import HostWatch

        from estimator import cli_measure
        from measurements.sweep import Sweep, SweepSettings
        from traces.grid import PAPER_GRID

        bench = self

        class Observer(cli_measure.Observer):
            def note(self, text: str) -> None:
                bench.note(text)

        observer = Observer(False)
        output = self.folder / name
        observer.note(f"{name}: " + cli_measure._capacity_text(self.engine.capacity_record()))
        metadata = cli_measure._metadata(
            self.gpus, self.sheet, self.engine, model_name(self.model), PAPER_GRID
        )
        if self.idle_power_w is not None:
            # Measured a few minutes before, with the same engine.
            card = "+".join(gpu.uuid for gpu in self.gpus)
            metadata["cards"] = {card: self.card}
            metadata["idle_power_w"] = self.idle_power_w
        is_there = (output / "table.json").exists()
        folder = cli_measure._open_folder(
            output, is_there, metadata | {"left_out": list(left_out)}, self.config
        )
        watch = HostWatch()
        watch.open(output)
        settings = SweepSettings(time_budget_s=budget_s)
        if window_s is not None:
            settings = replace(settings, min_window_s=window_s)
        sweep = Sweep(self.engine, self.gpus, folder, cost, observer, settings, [watch])
        try:
            sweep.run(plan)
        finally:
            cli_measure._finish(folder, plan)
            watch.close()
            if folder.metadata.get("cards"):
                self.card = next(iter(folder.metadata["cards"].values()))
                self.idle_power_w = float(self.card["idle_power_w"])
        valid = sum(run.valid for run in folder.runs)
        self.note(f"{name}: {len(folder.runs)} runs, {valid} of them valid")
        return folder.runs

    def use_law(self, runs: Sequence[Any]) -> None:
        """How fast the model is, for the rates of the traffic."""
        from measurements.cost import cost_from_runs

        law = [float(value) for value in cost_from_runs(runs, "").seconds_law]
        self.note(f"law of seconds per step, token, cached token, pair: {law}")
        if law[0] > 1e-4 and law[1] > 1e-8:
            self.law, self.law_source = law, "the runs of its plan"

    def facts(self, **others: Any) -> dict[str, Any]:
        from estimator.measure_plan import model_name
        from estimator.version import VERSION
        from measurements.host import host_cpu

        return {
            "gpu": self.sheet.name,
            "gpu_product": self.gpus[0].product,
            "gpu_count": len(self.gpus),
            "power_limit_w": sum(gpu.power_limit_w() for gpu in self.gpus),
            "model": model_name(self.model),
            "engine": self.engine.name,
            "engine_version": self.engine.version,
            "engine_settings": self.engine.settings(),
            "dtype": self.engine.dtype,
            "weights": self.engine.weights,
            **others,
            "measured_on": datetime.now(UTC).date().isoformat(),
            "measured_by": f"joulecast {VERSION}",
            "host_cpu": host_cpu(),
        }

    def replay(self, trace: str, label: str, is_logged: bool) -> float:
        """What `joulecast replay` does, with or without logs; the seconds that it took."""
        from measurements.replay import Replay, replay_requests

        draw = self.draws[trace]
        lengths = [(i, o) for i, o in draw["lengths"]]
        watch, logs = Stopwatch(), []
        own_prepare = self.engine.prepare_requests

        def prepare_requests(wanted: Sequence[tuple[int, int]]) -> Any:
            work = own_prepare(wanted)
            if len(wanted) != len(lengths):
                return work

            def logged() -> int:
                if not is_logged:
                    return work()
                self.recorder.start()
                produced = work()
                self.recorder.is_on = False
                return produced

            return watch.watch(logged)

        self.engine.prepare_requests = prepare_requests
        host = HostUse()
        poller = Poller([gpu.index for gpu in self.gpus]) if is_logged else None
        gc.collect()
        try:
            if poller:
                poller.__enter__()
            runs, steps = replay_requests(
                self.engine, self.gpus, lengths, None, 1, self.note, self.idle_power_w, watch.clock
            )
            used = host.used()
            if poller:
                logs = self.recorder.stop()
                time.sleep(1.5)
        finally:
            self.engine.prepare_requests = own_prepare
            if poller:
                poller.__exit__()
        self.idle_power_w = runs[0].idle_power_w
        facts = self.facts(batches_from=None)
        path = self.folder / "replays" / f"{label}.json"
        path.parent.mkdir(exist_ok=True)
        Replay({**draw["facts"], **facts}, lengths, None, runs, steps).save(path)
        if is_logged:
            window = {
                "replay": f"replays/{label}.json",
                "window_begin": watch.begin,
                "window_end": watch.end,
                "host_use": used,
                **asdict(runs[0]),
                **facts,
            }
            by_order = [
                request
                for _, request in sorted(logs.requests.items(), key=lambda one: _number(one[0]))
            ]
            requests = [
                ["", None, None, i, o, r["scheduled"], r["first_token"], r["finish"], r["produced"],
                 r["preempted"], 0]
                for (i, o), r in zip(lengths, by_order, strict=False)
            ]  # fmt: skip
            self.save_logs(label, window, logs, requests, steps)
            poller.save(self.folder / "logs", label, window)
        return runs[0].seconds

    def save_logs(
        self, label: str, window: Mapping[str, Any], logs: StepLog, requests: Any, steps: Any
    ) -> None:
        folder = self.folder / "logs"
        write_csv_gz(folder / f"{label}.steps.csv.gz", window, STEP_COLUMNS, logs.steps)
        write_csv_gz(folder / f"{label}.calls.csv.gz", window, CALL_COLUMNS, logs.calls)
        write_csv_gz(folder / f"{label}.requests.csv.gz", window, REQUEST_COLUMNS, requests)
        counted, own = logs.counts(), None if steps is None else asdict(steps)
        same = "the same" if counted == own else "NOT the same"
        self.note(f"{label}: log {counted}, engine {own}: {same}")

    def traffic(self) -> None:
        from measurements.meter import Meter
        from measurements.window import meter_window

        settings = self.engine.settings()
        generator = random.Random(SEED)
        segments = make_segments(self.law, self.longest, settings["kv_cache_tokens"], generator)
        traffic = Traffic(self.engine, segments, self.note)
        traffic.prepare(generator)
        counts = {s.name: (len(s.requests), s.rate) for s in segments}
        self.note(f"traffic, requests and rates by {self.law_source}: {counts}")
        watch = Stopwatch()
        meter = Meter(self.gpus, watch.clock)
        if self.idle_power_w is None:
            self.idle_power_w = meter.measure_idle(10.0).mean_power_w
            watch = Stopwatch()
            meter = Meter(self.gpus, watch.clock)
        self.engine.prepare_requests([(512, 32)] * 32)()  # warm
        gc.collect()
        with Poller([gpu.index for gpu in self.gpus]) as poller:
            time.sleep(3.0)
            steps = self.engine.record_steps()
            host = HostUse()
            self.recorder.start()
            window = meter_window(meter, self.gpus, watch.watch(traffic.serve))
            self.recorder.is_on = False
            used = host.used()
            logs = self.recorder.stop()
            time.sleep(2.0)
        faults = window.faults(self.idle_power_w, traffic.asked, traffic.produced)
        reading = window.reading
        facts = {
            "window_begin": watch.begin,
            "window_end": watch.end,
            "energy_j": round(reading.energy_j, 3),
            "seconds": round(reading.seconds, 4),
            "tick_error_j": round(reading.tick_error_j, 2),
            "temperature_start_c": window.temperature_start_c,
            "temperature_end_c": window.temperature_end_c,
            "card": "+".join(gpu.uuid for gpu in self.gpus),
            "idle_power_w": round(self.idle_power_w, 2),
            "started_at": window.started_at,
            "reason": "; ".join(faults) or None,
            "engine_steps": asdict(steps),
            "requests": len(traffic.items),
            "requests_cut": sum(item["cut"] for item in traffic.items),
            "segments": traffic.spans,
            "rates_from": self.law_source,
            "seconds_law": list(self.law),
            "seed": SEED,
            "host_use": used,
            **self.facts(),
        }
        rows = []
        for item in traffic.items:
            seen = logs.requests.get(item["id"] or "", {})
            rows.append(
                [item["segment"], item["arrival"], item["added"], item["input_tokens"],
                 item["output_tokens"], seen.get("scheduled"), seen.get("first_token"),
                 item["finish"], seen.get("produced", 0), seen.get("preempted", 0), item["cut"]]
            )  # fmt: skip
        self.save_logs("traffic", facts, logs, rows, steps)
        poller.save(self.folder / "logs", "traffic", facts)
        (self.folder / "traffic").mkdir(exist_ok=True)
        (self.folder / "traffic" / "traffic.json").write_text(json.dumps(facts, indent=1) + "\n")
        self.note(
            f"traffic: {reading.energy_j:.1f} J, {reading.seconds:.1f} s, "
            f"{reading.mean_power_w:.0f} W" + (f"  INVALID: {facts['reason']}" if faults else "")
        )

    def run(self) -> None:
        """Everything of the job that there is time for."""
        job = self.job
        replays_s = sum(self._replay_s(trace) for trace in job.replays)
        costs_s = 3 * self._replay_s(next(iter(job.replays))) if job.costs else 0.0
        traffic_s = 100.0 if job.traffic else 0.0
        plan_s = 125.0 if job.budget_min is None else 60 * job.budget_min + 10
        others_s = replays_s + traffic_s
        self.note(f"time left: {self.left_s():.0f} s")
        if job.plan and self.left_s() >= plan_s + others_s:
            self.phase("plan", self.table)
        elif job.plan and self.left_s() >= 130 + others_s and job.budget_min is not None:
            minutes = (self.left_s() - others_s - 15) / 60
            self.job = job = replace(job, budget_min=minutes)
            self.note(f"time is short: the plan gets {minutes:.1f} minutes")
            self.phase("plan", self.table)
        elif job.plan:
            self.note("time is short: no plan")
        for k, trace in enumerate(job.replays):
            if k == 0 and costs_s and self.left_s() >= costs_s + others_s:
                self.phase("bare", lambda t=trace: self.replay(t, f"{t}-bare-1", False))
                self.phase("replay", lambda t=trace: self.replay(t, t, True))
                self.phase("replay", lambda t=trace: self.replay(t, f"{t}-logged-2", True))
                self.phase("bare", lambda t=trace: self.replay(t, f"{t}-bare-2", False))
            elif self.left_s() >= self._replay_s(trace) + traffic_s:
                self.phase("replay", lambda t=trace: self.replay(t, t, True))
            else:
                self.note(f"time is short: no replay of {trace}")
        if job.traffic and self.left_s() >= 85:
            self.phase("traffic", self.traffic)
        if job.small and self.left_s() >= 170:
            self.phase("small batches", self.small_batches)
        for k in range(job.pairs):
            trace = next(iter(job.replays))
            if self.left_s() >= self._replay_s(trace):
                # Bare, logged, logged, bare, and so on, so that drift hits both alike.
                logged = k % 4 in (1, 2)
                label = f"{trace}-{'logged' if logged else 'bare'}-{k + 1}"
                self.phase(label, lambda t=trace, x=label, y=logged: self.replay(t, x, y))
        if job.rest and self.left_s() >= 60:
            self.job = job = replace(job, plan="full", budget_min=(self.left_s() - 15) / 60)
            self.phase("the rest of the full plan", self.table)
        self.note(f"done; time left: {self.left_s():.0f} s")

    def _replay_s(self, trace: str) -> float:
        lengths = self.draws[trace]["lengths"]
        held = sum(i + o / 2 for i, o in lengths) / len(lengths)
        batch = max(1.0, min(128.0, self.engine.settings()["kv_cache_tokens"] / held))
        return 10.0 + 1.2 * sum(_request_seconds(self.law, i, o, batch) for i, o in lengths)

    def phase(self, name: str, work: Callable[[], Any]) -> None:
        """One part of the job; what goes wrong is written down, and the next part gets its turn."""
        began = time.monotonic()
        try:
            work()
        except Exception:
            self.note(f"{name} FAILED\n{traceback.format_exc()}")
        self.note(f"{name}: took {time.monotonic() - began:.1f} s")


def need_fp8_alone() -> None:
    """Spare vLLM the import of every other number format: packages of some are not there."""
    import vllm.model_executor.layers.quantization as formats
    from vllm.model_executor.layers.quantization.fp8 import Fp8Config

    own = formats.get_quantization_config

    def get(name: str) -> Any:
        return Fp8Config if name == "fp8" else own(name)

    for module in list(sys.modules.values()):
        if getattr(module, "get_quantization_config", None) is own:
            module.get_quantization_config = get


def draw_fp8_weights(model: Any, device: str = "cuda") -> None:
    """As joulecast's draw_weights, for weights in 8 bits: N(0, 0.02) as value times scale."""
    import torch

    from measurements.engines.random_weights import SEED as WEIGHTS_SEED
    from measurements.engines.random_weights import WEIGHTS_SD

    spread = 90.0
    generator = torch.Generator(device=device).manual_seed(WEIGHTS_SEED)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            elif "norm" in name:
                parameter.fill_(1.0)
            elif parameter.dtype == torch.float8_e4m3fn:
                drawn = torch.empty(parameter.shape, device=device, dtype=torch.bfloat16)
                drawn.normal_(0.0, spread, generator=generator).clamp_(-448, 448)
                parameter.copy_(drawn.to(parameter.dtype))
            elif "scale" in name:
                parameter.fill_(WEIGHTS_SD / spread)
            else:
                parameter.normal_(0.0, WEIGHTS_SD, generator=generator)


def _number(key: str) -> int:
    """The number in a request's id, which vLLM counts up; it adds a suffix of its own."""
    digits = key.split("-", 1)[0]
    return int(digits) if digits.isdigit() else 0


# --- the sitting ----------------------------------------------------------------------------------

NOT_LOADED = 3


def run_job(job: Job, draws: Path, results: Path, until: float, attempt: int) -> int:
    """In a process of its own: load the engine once, measure, say how it went."""
    bench = Bench(job, json.loads(draws.read_text()), results, until)
    llm = dict(job.llm) | (dict(job.smaller or {}) if attempt > 1 else {})
    log = os.open(bench.folder / "engine.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        bench.load(llm)
    except Exception:
        bench.note(f"attempt {attempt}: the engine does not start\n{traceback.format_exc()}")
        return NOT_LOADED
    bench.run()
    return 0


class Sitting:
    """One machine, one job after the other."""

    def __init__(self, name: str, draws: Path, results: Path, seconds: float) -> None:
        self.name, self.draws, self.results = name, draws, results
        self.began = time.monotonic()
        self.until = self.began + seconds
        self.may_fork = os.environ.get("CAMPAIGN_FORK", "1") == "1"
        results.mkdir(parents=True, exist_ok=True)

    def note(self, text: str) -> None:
        line = f"[{time.monotonic() - self.began:7.1f} s] {text}"
        print(line, flush=True)
        with (self.results / f"sitting-{self.name}.log").open("a") as file:
            file.write(line + "\n")

    def run(self) -> None:
        self.note(f"begins {datetime.now(UTC).isoformat(timespec='seconds')}")
        self._write_environment()
        if self.may_fork:
            self._import_once()
        for number, job in enumerate(SITTINGS[self.name]):
            left_s = self.until - time.monotonic()
            if left_s < 150:
                self.note(f"{job.name}: not begun, {left_s:.0f} s are left")
                continue
            status = self._run(number, job, 1)
            if status == NOT_LOADED:
                self.may_fork = False
                self._run(number, job, 2)
        self.note("ends")

    def _run(self, number: int, job: Job, attempt: int) -> int:
        began = time.monotonic()
        until = min(self.until, began + job.limit_s)
        hard = until + 20
        self.note(f"{job.name}: attempt {attempt}, {until - began:.0f} s at most")
        status = (self._forked if self.may_fork else self._spawned)(
            number, job, attempt, until, hard
        )
        self.note(f"{job.name}: status {status} after {time.monotonic() - began:.1f} s")
        return status

    def _forked(self, number: int, job: Job, attempt: int, until: float, hard: float) -> int:
        del number
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.setsid()
                status = run_job(job, self.draws, self.results, until, attempt)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        while True:
            done, code = os.waitpid(pid, os.WNOHANG)
            if done:
                _end_group(pid)
                return os.waitstatus_to_exitcode(code)
            if time.monotonic() > hard:
                self.note(f"{job.name}: ended at its time limit")
                _end_group(pid)
                os.waitpid(pid, 0)
                return -9
            time.sleep(0.1)

    def _spawned(self, number: int, job: Job, attempt: int, until: float, hard: float) -> int:
        own = str(Path(__file__).resolve())
        process = subprocess.Popen(
            [sys.executable, own, "job", self.name, str(number), str(self.draws),
             str(self.results), repr(until), str(attempt)],
            start_new_session=True,
        )  # fmt: skip
        try:
            return process.wait(max(1.0, hard - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.note(f"{job.name}: ended at its time limit")
            return -9
        finally:
            _end_group(process.pid)
            process.wait()

    def _import_once(self) -> None:
        """Imports take long; every job begins as a copy of a process that has made them."""
        began = time.monotonic()
        try:
            import estimator.cli_measure  # noqa: F401
            import torch
            import transformers  # noqa: F401
            from vllm import LLM, SamplingParams  # noqa: F401

            import measurements.engines.vllm
            import measurements.replay  # noqa: F401

            if torch.cuda.is_initialized():
                self.may_fork = False
        except Exception:
            self.note(f"cannot import ahead\n{traceback.format_exc()}")
            self.may_fork = False
        gc.collect()
        gc.freeze()
        self.note(f"imported in {time.monotonic() - began:.1f} s; fork: {self.may_fork}")

    def _write_environment(self) -> None:
        """What nvidia-smi says of the card, and what the host is."""
        from measurements.host import host_cpu

        fields = (
            "name,uuid,driver_version,vbios_version,memory.total,power.limit,enforced.power.limit,"
            "power.default_limit,power.max_limit,clocks.max.sm,clocks.max.memory,persistence_mode,"
            "ecc.mode.current,mig.mode.current,temperature.gpu,temperature.memory,power.draw,"
            "clocks.sm,clocks.mem"
        )
        text = _said("nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader")
        names = fields.split(",")
        gpus = [
            dict(zip(names, (value.strip() for value in line.split(",")), strict=False))
            for line in text.splitlines()
        ]
        memory = [line for line in _read("/proc/meminfo").splitlines() if "MemTotal" in line]
        environment = {
            "began_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "gpus": gpus,
            "host_cpu": host_cpu(),
            "host_memory": memory[0].split(":")[1].strip() if memory else None,
            "kernel": os.uname().release,
            "python": sys.version.split()[0],
            "monotonic_minus_wall_clock_s": round(time.monotonic() - time.time(), 3),
        }
        path = self.results / f"sitting-{self.name}-environment.json"
        path.write_text(json.dumps(environment, indent=1) + "\n")
        excerpt = _said("nvidia-smi", "-q", "-d", "POWER,CLOCK,PERFORMANCE,TEMPERATURE,ECC")
        (self.results / f"sitting-{self.name}-nvidia-smi.txt").write_text(excerpt)


def _said(*command: str) -> str:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return f"{command[0]}: {error}"


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _end_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def draw(traces: Path, path: Path) -> None:
    """The requests of every replay, as `joulecast replay` draws them from files in that folder."""
    from estimator.cli_replay import _draw

    from measurements.models import load_config, model_names

    options = dict.fromkeys(("input_column", "output_column", "memory_limit"))
    options["on_invalid"] = "error"
    draws: dict[str, dict[str, Any]] = {}
    path = path.absolute()
    os.chdir(traces)
    for job in (job for jobs in SITTINGS.values() for job in jobs):
        config = load_config(job.model) if job.model in model_names() else MODELS[job.model]
        most = int(config["max_position_embeddings"])
        for trace, count in job.replays.items():
            lengths, facts = _draw(f"{trace}.csv", count, SEED, most, options)
            drawn = {"facts": facts, "lengths": lengths.tolist()}
            known = draws.setdefault(job.model, {}).setdefault(trace, drawn)
            assert known == drawn, (job.model, trace)
    path.write_text(json.dumps(draws))


def main() -> None:
    verb, *rest = sys.argv[1:]
    if verb == "draw":
        draw(Path(rest[0]), Path(rest[1]))
    elif verb == "poll":
        poll(Path(rest[0]), Path(rest[1]), [int(k) for k in rest[2:]])
    elif verb == "sitting":
        Sitting(rest[0], Path(rest[1]), Path(rest[2]), float(rest[3])).run()
    elif verb == "job":
        name, number, draws, results, until, attempt = rest
        job = SITTINGS[name][int(number)]
        status = run_job(job, Path(draws), Path(results), float(until), int(attempt))
        sys.stdout.flush()
        os._exit(status)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
