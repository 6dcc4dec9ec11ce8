"""Runs joulecast's own commands one after the other with one engine, which starts once.

    python commands.py SITTING TRACES RESULTS SECONDS

Each command is what a user would type: `measure --plan quick`, `replay --log`,
`measure --plan traffic`. Starting vLLM takes one to two minutes of a rented GPU, so the commands of
a model share the engine that the first of them starts; nothing else differs. RESULTS gets what the
commands write, what they print (commands.log), and what nvidia-smi says of the cards. After SECONDS
no further command is begun.

It ran with joulecast 0.3.0. README.md beside this says what each file holds.
"""

# mypy: ignore-errors
# ruff: noqa: D102, D103, S603

import contextlib
import importlib
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

TRACES = ("azure-2023-conv.csv", "azure-2023-code.csv")
SEED = "7"
"""Of the draws; the same as campaign.py's, which makes the same draws."""

LONGEST = 16384
"""What an engine is started for at least [tokens]: the longest requests of the plans."""


@dataclass(frozen=True)
class Job:
    """One model under one setting.

    Attributes:
        model: As --model has it.
        folder: Of its results.
        options: Of every command.
        requests: Of each trace.
        table: What its tables are called, before the plan.
        parts: Which commands: their order, and the seconds that each may take.
    """

    model: str
    folder: str
    options: Sequence[str] = ()
    requests: int = 400
    table: str = "vllm"
    parts: Sequence[tuple[str, float]] = (("replay", 130), ("quick", 130), ("traffic", 115))

    def command(self, part: str, results: Path) -> list[str]:
        common = ["--engine", "vllm", "--model", self.model, *self.options]
        folder = results / self.folder
        if part == "replay":
            draw = ["--requests", str(self.requests), "--seed", SEED, "--log"]
            return ["replay", *TRACES, *draw, *common, "-o", str(folder / "replays")]
        table = str(folder / f"{self.table}-{part}")
        once = ["--runs", "1"] if part == "full" else []
        return ["measure", "--plan", part, *once, *common, "-o", table]


@dataclass(frozen=True)
class Online:
    """Requests served as they come, with one engine.

    Attributes:
        model: As --model has it.
        folder: Of its results.
        commands: Of each: its name, the seconds it may take at most, and its words.
        options: Of every command.
    """

    model: str
    folder: str
    commands: Sequence[tuple[str, float, str]]
    options: Sequence[str] = ()

    @property
    def parts(self) -> Sequence[tuple[str, float]]:
        return [(name, seconds) for name, seconds, _ in self.commands]

    def command(self, part: str, results: Path) -> list[str]:
        words = next(words for name, _, words in self.commands if name == part).split()
        common = ["--arrivals", "--engine", "vllm", "--model", self.model, *self.options]
        output = results / self.folder / part
        return ["replay", *words, "--seed", SEED, *common, "-o", str(output)]


@dataclass(frozen=True)
class Typed:
    """Commands written out.

    Attributes:
        folder: Of their results.
        commands: Of each: its name, which its output has too, the seconds it may take at most, and
            its words; {results} stands for the folder above.
    """

    folder: str
    commands: Sequence[tuple[str, float, str]]

    @property
    def parts(self) -> Sequence[tuple[str, float]]:
        return [(name, seconds) for name, seconds, _ in self.commands]

    def command(self, part: str, results: Path) -> list[str]:
        words = next(words for name, _, words in self.commands if name == part)
        folder = results / self.folder
        return [*words.format(results=folder).split(), "-o", str(folder / part)]

    def only(self, name: str) -> "Typed":
        return replace(self, commands=[command for command in self.commands if command[0] == name])


CONV, CODE = TRACES
SERVED = (
    ("busy", 350, f"{CONV} {CODE} {CONV} {CODE} --speed 1.7 --speed 1 --speed 2.2 --speed 6"),
    ("long", 120, "long-outputs.csv --rate 3 --seconds 60"),
    ("chat", 100, "burstgpt-reconstructed --rate 20 --seconds 60"),
    ("quiet", 160, f"{CONV} {CONV} --speed 0.1 --speed 0.8 --begin 600"),
    ("beyond", 160, f"{CONV} --speed 3.2 --begin 900"),
)

SHORT = (
    "code-at-most-32-outputs.csv conv-at-most-128-outputs.csv --requests 1000 --requests 700 "
    f"--seed {SEED}"
)
"""Rows of the traces whose outputs are so short: static batches run to their longest."""

SWEEPS = "--runs 1 --log --time-budget 11 --engine vllm --model llama-3.1-8b"

PAIR = "--gpu 0 --gpu 1"
QWEN_PAIR = Online(
    "qwen1.5-32b",
    "h200-sxm/qwen1.5-32b-tp2-online",
    (("served", 175, f"{CONV} {CODE} --speed 0.4 --speed 2 --begin 300"),),
    ("--gpu", "0", "--gpu", "1"),
)

PYTORCH = "--engine pytorch --model llama-3.1-8b"
BATCHES = "measure --plan batches --runs 1 --log --engine vllm --model"
"""Of figure 2: a mixture of experts beside dense models."""

DECODING = "measure --plan decoding --engine vllm --model llama-3.1-8b"
STRATEGIES = "--decoding greedy --decoding temperature:0.8 --decoding top-p:0.9"
ACCEPTANCES = " ".join(f"--speculate llama-3.2-1b,4,{a}" for a in (0.7, 0, 0.9, 1, 0.5))

PYTORCH_BATCHES = f"measure --plan batches --runs 1 {PYTORCH}"

IN_FLIGHT = f"replay {CONV} --seed {SEED} --engine vllm --model llama-3.1-8b"
"""Of figure 7. One at a time is one and the same, continuously and in batches: it is left out."""

SHORT_TASKS, LONG_TASKS = "wmt-14.csv wikitext-2.csv", "imdb.csv cnn-dailymail.csv"
"""Of figures 6 and 10, in the folder of the traces: joulecast trace task NAME --from-figures
--unpadded -o NAME.csv."""

TASK_DRAWS = (
    ("one", 1, f"{SHORT_TASKS} {LONG_TASKS} --requests 4"),
    ("eight", 8, f"{SHORT_TASKS} {LONG_TASKS} --requests 16"),
    ("short-128", 128, f"{SHORT_TASKS} --requests 512"),
    ("long-128", 128, f"{LONG_TASKS} --requests 256 --runs 3"),
)
"""Fewer requests where few are served at once: a request alone takes seconds. Three runs where
both engines compute, and differ by little."""


def task_commands(
    engine: str, ways: str, largest: Sequence[str], seconds: Sequence[float]
) -> list[tuple[str, float, str]]:
    """The same draws of the tasks for an engine; `largest` is added where 128 run at once."""
    more = ["", "", *largest]
    return [
        (
            f"{engine}-{name}",
            needed_s,
            (
                f"replay {draw} --seed {SEED} --engine {engine} --model llama-3.1-8b "
                f"{ways.format(n=n)} {largest_words}"
            ),
        )
        for (name, n, draw), largest_words, needed_s in zip(TASK_DRAWS, more, seconds, strict=True)
    ]


IN_FLIGHT_JOB = Typed(
    "h200-sxm/llama-3.1-8b-in-flight",
    (
        (
            "many",
            420,
            (
                f"{IN_FLIGHT} --requests 400 --runs 3 --in-flight 128 --in-flight 256 "
                "--static 128 --static 256"
            ),
        ),
        (
            "few",
            200,
            f"{IN_FLIGHT} --requests 200 --in-flight 8 --in-flight 32 --static 8 --static 32",
        ),
    ),
)
TASKS_VLLM = Typed(
    "h200-sxm/llama-3.1-8b-tasks",
    task_commands(
        "vllm",
        "--in-flight {n} --static {n} --pad",
        ("--in-flight 512 --static 512", "--in-flight 256 --static 256"),
        (80, 80, 120, 280),
    ),
)
TASKS_PYTORCH = Typed(
    "h200-sxm/llama-3.1-8b-tasks",
    task_commands(
        "pytorch", "--static {n}", ("--static largest", "--static largest"), (100, 60, 110, 280)
    ),
)

REST_OF_SWEEPS = Typed(
    "h200-sxm/llama-3.1-8b-sweeps",
    (("vllm-sweeps", 60, f"measure --plan sweeps --resume {SWEEPS.replace('11', '15')}"),),
)
REST_OF_TOP_P = Typed(
    "h200-sxm/llama-3.1-8b-decoding/vllm",
    (("top-p-0.9", 45, f"{DECODING} --runs 3 --decoding top-p:0.9 --resume"),),
)
TOP_P_AGAIN = Typed(
    "h200-sxm/llama-3.1-8b-decoding-second/vllm",
    (
        ("greedy", 90, f"{DECODING} --runs 3 --decoding greedy"),
        ("top-p-0.9", 90, f"{DECODING} --runs 3 --decoding top-p:0.9"),
    ),
)
"""After the sweeps: their requests are longer, and an engine is started for its first command's."""

REST_OF_SPECULATION = Typed(
    "h200-sxm/llama-3.1-8b-speculation/vllm",
    (
        ("acceptance-1", 30, f"{DECODING} --runs 1 --speculate llama-3.2-1b,4,1 --resume"),
        ("acceptance-0.5", 40, f"{DECODING} --runs 1 --speculate llama-3.2-1b,4,0.5"),
    ),
)
BEAMS = "--plan decoding --runs 1 --decoding beam:4"
STEADY = (
    ("mid", 100, f"{CONV} --speed 1.7"),
    ("chat", 100, "burstgpt-reconstructed --rate 20 --seconds 60"),
)
"""Of the windows of SERVED, those in the middle of the load, where estimates were too low."""

SITTINGS = {
    "h200-rest": [
        REST_OF_TOP_P,
        Online("llama-3.1-8b", "h200-sxm/llama-3.1-8b-online-second", STEADY),
        REST_OF_SWEEPS,
    ],
    "h200-rest-sweeps": [
        REST_OF_SWEEPS,
        TOP_P_AGAIN,
        Online("llama-3.1-8b", "h200-sxm/llama-3.1-8b-online-third", STEADY),
    ],
    "h200-rest-speculation": [REST_OF_SPECULATION],
    "h200-rest-beams": [
        Typed(
            "h200-sxm/llama-3.1-8b-decoding/vllm",
            (("beam-4", 60, f"measure {BEAMS} --engine vllm --model llama-3.1-8b"),),
        ),
    ],
    "h200-rest-pytorch": [
        Typed("h200-sxm/llama-3.1-8b-pytorch-batches", (("pytorch-batches", 80, PYTORCH_BATCHES),)),
    ],
    "h200-rest-beams-pytorch": [
        Typed(
            "h200-sxm/llama-3.1-8b-decoding/pytorch",
            (("beam-4", 60, f"measure {BEAMS} {PYTORCH}"),),
        ),
    ],
    "h200-rest-pytorch-repeated": [
        Typed(
            "h200-sxm/llama-3.1-8b-pytorch-repeated",
            (
                (
                    "pytorch-batches",
                    200,
                    PYTORCH_BATCHES.replace("--runs 1", "--runs 2 --time-budget 4"),
                ),
            ),
        ),
    ],
    "h200-rest-compiled-repeated": [
        Typed(
            "h200-sxm/llama-3.1-8b-pytorch-repeated",
            (("pytorch-compiled-batches", 300, f"{PYTORCH_BATCHES} --compile --time-budget 5"),),
        ),
    ],
    "h200-sweeps-pytorch": [
        Typed(
            "h200-sxm/llama-3.1-8b-pytorch-sweeps",
            (
                (
                    "pytorch-sweeps",
                    300,
                    f"measure --plan sweeps --runs 2 --log --time-budget 10 {PYTORCH}",
                ),
            ),
        ),
    ],
    "h200-rest-compiled": [
        Typed(
            "h200-sxm/llama-3.1-8b-pytorch-batches",
            (("pytorch-compiled-batches", 120, f"{PYTORCH_BATCHES} --compile --time-budget 5"),),
        ),
    ],
    "h200-inflight": [IN_FLIGHT_JOB],
    "h200-tasks-vllm": [TASKS_VLLM],
    "h200-inflight-and-tasks": [IN_FLIGHT_JOB.only("many"), TASKS_VLLM, IN_FLIGHT_JOB.only("few")],
    "h200-tasks-pytorch": [TASKS_PYTORCH],
    "h200-tasks-pytorch-long": [TASKS_PYTORCH.only("pytorch-long-128")],
    "h200-pytorch": [
        Typed(
            "h200-sxm/llama-3.1-8b-pytorch",
            (
                ("pytorch-quick", 300, f"measure --plan quick {PYTORCH}"),
                (
                    "replays",
                    170,
                    f"replay {SHORT} {PYTORCH} --table {{results}}/pytorch-quick",
                ),
            ),
        )
    ],
    "h200-sweeps": [
        Typed(
            "h200-sxm/llama-3.1-8b-sweeps",
            (
                (
                    "vllm-sweeps",
                    300,
                    f"measure --plan sweeps {SWEEPS}",
                ),
            ),
        )
    ],
    "h200-batches-olmoe": [
        Typed("h200-sxm/olmoe-1b-7b-batches", (("vllm-batches", 165, f"{BATCHES} olmoe-1b-7b"),))
    ],
    "h200-batches-olmo-1b": [
        Typed("h200-sxm/olmo-1b-batches", (("vllm-batches", 165, f"{BATCHES} olmo-1b"),))
    ],
    "h200-pair-qwen1.5-32b": [
        Typed(
            "h200-sxm/qwen1.5-32b-tp2-batches",
            (("vllm-tp2-batches", 100, f"{BATCHES} qwen1.5-32b {PAIR}"),),
        ),
        QWEN_PAIR,
    ],
    "h200-pair-llama": [
        Typed(
            "h200-sxm/llama-3.1-8b-tp2-batches",
            (("vllm-tp2-batches", 90, f"{BATCHES} llama-3.1-8b {PAIR}"),),
        ),
    ],
    "h200-first-of-pair": [
        Typed(
            "h200-sxm/llama-3.1-8b-batches",
            (("vllm-batches", 90, f"{BATCHES} llama-3.1-8b --gpu 0"),),
        ),
    ],
    "h200-first-sweeps": [
        Typed(
            "h200-sxm/llama-3.1-8b-sweeps",
            (("vllm-sweeps", 60, f"measure --plan sweeps --gpu 0 --resume {SWEEPS}"),),
        ),
    ],
    "h200-first-eager": [
        Typed(
            "h200-sxm/llama-3.1-8b-batches",
            (("vllm-eager-batches", 90, f"{BATCHES} llama-3.1-8b --eager --gpu 0"),),
        ),
    ],
    "h200-second-of-pair": [
        Typed(
            "h200-sxm/qwen1.5-32b-batches",
            (("vllm-batches", 90, f"{BATCHES} qwen1.5-32b --gpu 1"),),
        ),
    ],
    "h200-first-speculation": [
        Typed(
            "h200-sxm/llama-3.1-8b-speculation",
            (("vllm", 90, f"{DECODING} --runs 1 {ACCEPTANCES} --gpu 0"),),
        ),
    ],
    "h200-second-decoding": [
        Typed(
            "h200-sxm/llama-3.1-8b-decoding",
            (("vllm", 90, f"{DECODING} --runs 3 {STRATEGIES} --gpu 1"),),
        ),
    ],
    "h200-second-pytorch": [
        Typed(
            "h200-sxm/llama-3.1-8b-batches",
            (
                ("pytorch-batches", 60, f"{PYTORCH_BATCHES} --gpu 1"),
                ("pytorch-compiled-batches", 60, f"{PYTORCH_BATCHES} --compile --gpu 1"),
            ),
        ),
    ],
    "h200-second-olmo-7b": [
        Typed("h200-sxm/olmo-7b-batches", (("vllm-batches", 90, f"{BATCHES} olmo-7b --gpu 1"),))
    ],
    "h200-online-llama": [Online("llama-3.1-8b", "h200-sxm/llama-3.1-8b-online", SERVED)],
    "h200-online-qwen2.5": [
        Online(
            "qwen2.5-7b",
            "h200-sxm/qwen2.5-7b-online",
            (
                ("busy", 175, f"{CONV} {CODE} --speed 1.2 --speed 3 --begin 300"),
                ("chat", 100, "burstgpt-reconstructed --rate 40 --seconds 60"),
            ),
        )
    ],
    "h200-online-qwen3": [
        Online(
            "qwen3-30b-a3b",
            "h200-sxm/qwen3-30b-a3b-online",
            (("busy", 175, f"{CONV} {CODE} --speed 0.7 --speed 2 --begin 1200"),),
        )
    ],
    "h200-qwen3-again": [
        Typed(
            "h200-sxm/qwen3-30b-a3b",
            (("vllm-quick", 130, "measure --plan quick --engine vllm --model qwen3-30b-a3b"),),
        ),
        Online(
            "qwen3-30b-a3b",
            "h200-sxm/qwen3-30b-a3b-online-again",
            (
                ("conv-0.7x", 90, f"{CONV} --speed 0.7 --begin 1200"),
                ("code-2x", 70, f"{CODE} --speed 2 --begin 1200"),
            ),
        ),
    ],
    "h100-fourth": [
        Job(
            "llama-3.1-8b",
            "h100-sxm/llama-3.1-8b-fp8",
            ("--quantization", "fp8"),
            table="vllm-fp8",
        ),
    ],
    "h100-pair-second": [
        Job(
            "qwen1.5-32b",
            "h100-sxm/qwen1.5-32b-tp2",
            ("--gpu", "0", "--gpu", "1"),
            200,
            "vllm-tp2",
            (("replay", 170), ("traffic", 110), ("quick", 120)),
        ),
    ],
    "h100-pair-third": [
        Job(
            "qwen1.5-32b",
            "h100-sxm/qwen1.5-32b-tp2-second",
            ("--gpu", "0", "--gpu", "1"),
            200,
            "vllm-tp2",
            (("traffic", 110), ("replay", 190), ("quick", 120)),
        ),
    ],
    "h100-fifth": [
        Job(
            "llama-3.1-8b",
            "h100-sxm/llama-3.1-8b-fifth",
            parts=(("traffic", 115), ("replay", 130), ("quick", 110), ("full", 950)),
        ),
    ],
    "h100-sixth": [
        Job("qwen1.5-moe-a2.7b", "h100-sxm/qwen1.5-moe-a2.7b"),
    ],
    "h100-sixth-qwen3": [
        Job("qwen3-30b-a3b", "h100-sxm/qwen3-30b-a3b"),
    ],
    "h100-sixth-gemma": [
        Job("gemma-2-9b", "h100-sxm/gemma-2-9b"),
    ],
    "h100-sixth-qwen2.5": [
        Job("qwen2.5-7b", "h100-sxm/qwen2.5-7b"),
    ],
    "h200-sixth-qwen2.5": [
        Job(
            "qwen2.5-7b",
            "h200-sxm/qwen2.5-7b",
            parts=(("replay", 90), ("quick", 110), ("traffic", 100)),
        ),
    ],
    "h200-third": [
        Job(
            "qwen1.5-32b",
            "h200-sxm/qwen1.5-32b-second",
            requests=200,
            parts=(("quick", 130), ("replay", 175)),
        ),
    ],
}


@contextlib.contextmanager
def shared_engine(note: Callable[[str], None]) -> Iterator[None]:
    """Let commands that ask for the same engine have the one that is loaded."""
    measuring = importlib.import_module("joulecast.measuring")
    cli_replay = importlib.import_module("joulecast.cli.replay")
    engines = importlib.import_module("joulecast.measurements.engines")
    load = measuring.load_engine
    loaded: dict[tuple[Any, ...], Any] = {}

    def load_once(name: str, request: Any) -> Any:
        variant = engines.resolve_variant(name, request.variant)
        key = (name, request.model, request.weights, engines.start_of(name, variant))
        if key in loaded and hasattr(loaded[key], "retune"):
            engines.retune(loaded[key], variant)
        if key not in loaded:
            began = time.monotonic()
            if request.variant.quantization == "fp8":
                need_fp8_alone()
            positions = int(request.config["max_position_embeddings"])
            longest = min(positions, max(request.longest, LONGEST))
            loaded[key] = load(name, replace(request, longest=longest))
            note(f"engine started in {time.monotonic() - began:.1f} s, {loaded[key].settings()}")
        return loaded[key]

    for module in (measuring, cli_replay):
        module.load_engine = load_once
    try:
        yield
    finally:
        for module in (measuring, cli_replay):
            module.load_engine = load


def need_fp8_alone() -> None:
    """Spare vLLM the import of every other number format: packages of some are not there."""
    formats = importlib.import_module("vllm.model_executor.layers.quantization")
    fp8 = importlib.import_module("vllm.model_executor.layers.quantization.fp8")
    own = formats.get_quantization_config

    def get(name: str) -> Any:
        return fp8.Fp8Config if name == "fp8" else own(name)

    for module in list(sys.modules.values()):
        if getattr(module, "get_quantization_config", None) is own:
            module.get_quantization_config = get


def run_sitting(name: str, traces: Path, results: Path, seconds: float) -> None:
    from joulecast.cli.main import main

    began = time.monotonic()
    log = (results / f"sitting-{name}.log").open("a", buffering=1)

    def note(text: str) -> None:
        print(f"[{time.monotonic() - began:7.1f} s] {text}", file=log)

    note(f"begins {datetime.now(UTC).isoformat(timespec='seconds')}")
    write_environment(name, results)
    os.chdir(traces)
    with shared_engine(note):
        for job in SITTINGS[name]:
            (results / job.folder).mkdir(parents=True, exist_ok=True)
            for part, needed_s in job.parts:
                left_s = seconds - (time.monotonic() - began)
                command = job.command(part, results)
                if left_s < needed_s:
                    note(f"{left_s:.0f} s are left, so not run: joulecast {' '.join(command)}")
                    continue
                note(f"joulecast {' '.join(command)}")
                with (results / job.folder / "commands.log").open("a", buffering=1) as own:
                    print(f"$ joulecast {' '.join(command)}", file=own)
                    with contextlib.redirect_stdout(own), contextlib.redirect_stderr(own):
                        try:
                            main(command, standalone_mode=False)
                            note("done")
                        except SystemExit as ending:
                            note(f"exit status {ending.code}")
                        except BaseException:  # noqa: BLE001 the next command gets its turn
                            note(traceback.format_exc())
    note("ends")


def write_environment(name: str, results: Path) -> None:
    """What nvidia-smi says of the cards, and what the host is."""
    host = importlib.import_module("joulecast.measurements.host")
    fields = (
        "name,uuid,driver_version,vbios_version,memory.total,power.limit,enforced.power.limit,"
        "power.default_limit,power.max_limit,clocks.max.sm,clocks.max.memory,persistence_mode,"
        "ecc.mode.current,mig.mode.current,temperature.gpu,temperature.memory,power.draw,"
        "clocks.sm,clocks.mem"
    )
    text = said("nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader")
    gpus = [
        dict(zip(fields.split(","), map(str.strip, line.split(",")), strict=False))
        for line in text.splitlines()
    ]
    environment = {
        "began_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "gpus": gpus,
        "host_cpu": host.host_cpu(),
        "kernel": os.uname().release,
        "python": sys.version.split()[0],
        "monotonic_minus_wall_clock_s": round(time.monotonic() - time.time(), 3),
    }
    path = results / f"sitting-{name}-environment.json"
    path.write_text(json.dumps(environment, indent=1) + "\n")
    excerpt = said("nvidia-smi", "-q", "-d", "POWER,CLOCK,PERFORMANCE,TEMPERATURE,ECC")
    (results / f"sitting-{name}-nvidia-smi.txt").write_text(excerpt)


def said(*command: str) -> str:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return f"{command[0]}: {error}"


if __name__ == "__main__":
    sitting, traces_folder, results_folder, seconds_left = sys.argv[1:]
    Path(results_folder).mkdir(parents=True, exist_ok=True)
    run_sitting(sitting, Path(traces_folder), Path(results_folder).absolute(), float(seconds_left))
    sys.stdout.flush()
    os._exit(0)
