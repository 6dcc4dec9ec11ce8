"""How far estimates of the shipped replays are off, by what they rest on; docs/accuracy.md.

Prints the error of the step model for every vLLM replay: from each table, with and without the pace
of the replay's host, and from the runs of the quick plan alone.
"""

import statistics
from collections.abc import Mapping
from dataclasses import replace

from joulecast.estimator.validate import find_replays, shipped_tables_for, validate
from joulecast.measurements.replay import SHIPPED, Replay
from joulecast.measurements.sweep.plans import quick_batches
from joulecast.measurements.table.table import EnergyTable, load_table

PREFIX = "h100-sxm/llama-3.1-8b/"
QUICK = "vllm-quick", "vllm-quick-second", "vllm-quick-third"


def quick_runs_of(table: EnergyTable) -> EnergyTable:
    """A table with none but the first runs of its quick plan."""
    batches = quick_batches(table)
    return replace(table, runs=[r for r in table.runs if r.batch in batches and r.run == 1])


def main() -> None:
    """Print it all."""
    whole = {name: load_table(PREFIX + name) for name in ("vllm", "vllm-first-card")}
    tables = {
        **whole,
        **{f"quick runs of {name}": quick_runs_of(table) for name, table in whole.items()},
        **{name: load_table(PREFIX + name) for name in QUICK},
    }
    for folder in ("vllm", "vllm-later"):
        print_errors(folder, tables)


def print_errors(folder: str, tables: Mapping[str, EnergyTable]) -> None:
    """Print the errors for the replays of a folder, a line per table."""
    paths = find_replays(SHIPPED / folder)
    replays = {path.stem: Replay.load(path) for path in paths}
    print(f"{folder}:", ", ".join(replays))
    for label, table in tables.items():
        for host in ("known", "unknown"):
            errors = []
            within = 0
            for name, replay in replays.items():
                hosts = shipped_tables_for(replay) if host == "known" else []
                stepwise = validate(name, replay, [table], hosts).checked["stepwise"]
                errors.append(stepwise.error_percent)
                within += bool(stepwise.is_within)
            sizes = [abs(error) for error in errors]
            print(
                f"{label:30s} host {host:8s}",
                " ".join(f"{error:+5.1f}" for error in errors),
                f" median {statistics.median(sizes):.1f}, worst {max(sizes):.1f}; "
                f"interval holds {within} of {len(errors)}",
            )


if __name__ == "__main__":
    main()
