"""Runs joulecast's own commands one after the other with one engine, which starts once.

    python commands.py SITTING TRACES RESULTS SECONDS

Each command is what a user would type: `measure --plan quick`, `replay --log`,
`measure --plan traffic`. Starting vLLM takes one to two minutes of a rented GPU, so the commands of
a model share the engine that the first of them starts; nothing else differs. RESULTS gets what the
commands write, what they print (commands.log), and what nvidia-smi says of the cards. After SECONDS
no further command is begun.

sittings.py beside this has the sittings, README.md says what each file holds. It ran with joulecast
0.3.0.
"""

# mypy: ignore-errors
# ruff: noqa: D103, S603

import contextlib
import importlib
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sittings import SITTINGS

LONGEST = 16384
"""What an engine is started for at least [tokens]: the longest requests of the plans."""


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
