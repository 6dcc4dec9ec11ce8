"""A first look at the measurements of this folder: are they sound, and what do they say?

Holds every log against the engine's own counts and the meter, regresses the energy of the traffic
on the work in it, holds the two replays of the same card against the prices found, and against
what joulecast 0.2 estimates from the table. Nothing that is fitted here is shipped.

    python first_look.py

joulecast must be installed.
"""

# mypy: ignore-errors
# ruff: noqa: D102, D103, E501, T201

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import nnls

from joulecast.estimator.validate import validate
from joulecast.measurements.models import load_shape
from joulecast.measurements.replay import Replay
from joulecast.measurements.table.table import load_table

HERE = Path(__file__).parent
STRETCH_TICKS = (5, 10, 20)
DELAYS_S = (0.0, 0.02, 0.04, 0.06, 0.08, 0.1)
TERMS = ("steps", "tokens", "context", "pairs", "sampled", "prompts_completed")


def read_log(path):
    """Facts and rows of a log."""
    facts = {}
    with gzip.open(path, "rt") as file:
        for line in file:
            if not line.startswith("# "):
                break
            key, _, value = line[2:].partition(": ")
            if not key.startswith("column "):
                facts[key] = json.loads(value)
    return facts, pd.read_csv(path, comment="#")


class Log:
    """Steps and ticks of one window."""

    def __init__(self, folder, name, shape):
        self.facts, steps = read_log(folder / f"{name}.steps.csv.gz")
        _, ticks = read_log(folder / f"{name}.ticks.csv.gz")
        _, self.requests = read_log(folder / f"{name}.requests.csv.gz")
        self.steps = steps
        # A tick lies between the last call that showed the old value and the end of this one.
        self.tick_s = ((ticks["begin"] + ticks["end"]) / 2).to_numpy()
        self.tick_j = ticks["energy_mj"].to_numpy() / 1000
        tokens = (steps["decoding"] + steps["prompt_tokens"]).to_numpy(float)
        first = np.ones(len(steps))
        if shape.experts > 1:  # weights read [10^10 bytes], since a step reads what tokens chose
            first = 2e-10 * shape.parameters_read(tokens)
        self.work = np.column_stack(
            [first, tokens, *(steps[term].to_numpy(float) for term in TERMS[2:])]
        )
        # A step begins when it is scheduled and the one before is done, and ends with its output.
        self.end = np.maximum.accumulate(steps["output_at"].to_numpy())
        before = np.concatenate([[-np.inf], self.end[:-1]])
        begin = np.maximum(steps["schedule_end"].to_numpy(), before)
        self.begin = np.minimum(begin, self.end - 1e-5)

    def until(self, times):
        """Work done and time idle from some moment up to each time."""
        done = np.vstack([np.zeros(self.work.shape[1]), np.cumsum(self.work, axis=0)])
        lasted = np.concatenate([[0.0], np.cumsum(self.end - self.begin)])
        k = np.searchsorted(self.end, times)
        inside = np.minimum(k, len(self.end) - 1)
        share = (times - self.begin[inside]) / (self.end - self.begin)[inside]
        share = np.where(k < len(self.end), np.clip(share, 0.0, 1.0), 0.0)
        work = done[k] + share[:, None] * self.work[inside]
        busy = lasted[k] + share * (self.end - self.begin)[inside]
        return work, times - busy

    def metered_by_ticks_j(self):
        window = self.facts["window_begin"], self.facts["window_end"]
        low, high = np.interp(window, self.tick_s, self.tick_j)
        return high - low

    def stretches(self, ticks, delay_s):
        """Work, idle seconds, seconds and joules of each stretch of so many ticks."""
        window = self.facts["window_begin"] - 1.5, self.facts["window_end"] + 1.0
        at = np.flatnonzero((self.tick_s > window[0]) & (self.tick_s < window[1]))[::ticks]
        work, idle = self.until(self.tick_s[at] - delay_s)
        return (
            np.diff(work, axis=0),
            np.diff(idle),
            np.diff(self.tick_s[at]),
            np.diff(self.tick_j[at]),
        )


def fit(log, ticks, delay_s, with_time):
    """Prices: of the work and of idle time, or of the work and of all time."""
    work, idle, seconds, joules = log.stretches(ticks, delay_s)
    terms = np.column_stack([work, seconds if with_time else idle])
    weights = 1 / np.sqrt(np.maximum(joules, 10.0))
    scale = np.abs(terms).max(axis=0)
    scale[scale == 0] = 1.0
    found, _ = nnls(terms / scale * weights[:, None], joules * weights)
    prices = found / scale
    residuals = (terms @ prices - joules) * weights
    return prices, float(np.sqrt((residuals**2).mean() / ((joules * weights) ** 2).mean()))


def best_fit(log, ticks, with_time):
    fits = [(*fit(log, ticks, delay, with_time), delay) for delay in DELAYS_S]
    return min(fits, key=lambda one: one[1])


def forecast_error(replay, prices, with_time):
    """How far the prices' forecast of a replay lies above the meter [%]."""
    rest_s = replay.facts["seconds"]
    if not with_time:
        rest_s -= float((replay.end - replay.begin).sum())
    forecast_j = replay.work.sum(axis=0) @ prices[:-1] + rest_s * prices[-1]
    return 100 * (forecast_j / replay.facts["energy_j"] - 1)


def error_with_other(logs, left_out, others):
    """As `forecast_error`, of prices next to all time, fitted to other windows together [%]."""
    parts = [logs[name].stretches(10, 0.02) for name in others]
    terms = np.vstack([np.column_stack([work, seconds]) for work, _, seconds, _ in parts])
    joules = np.concatenate([part[3] for part in parts])
    weights = 1 / np.sqrt(np.maximum(joules, 10.0))
    scale = np.abs(terms).max(axis=0)
    scale[scale == 0] = 1.0
    found, _ = nnls(terms / scale * weights[:, None], joules * weights)
    return forecast_error(logs[left_out], found / scale, with_time=True)


def clocks(folder, name):
    """Median SM clock [MHz] and share of moments at the power cap, while the GPU is not idle."""
    facts, states = read_log(folder / "logs" / f"{name}.states.csv.gz")
    inside = states["at"].between(facts["window_begin"], facts["window_end"])
    busy = states[inside & (states["throttle_bits"] & 1 == 0)]
    return busy["sm_mhz"].median(), ((busy["throttle_bits"] & 4) > 0).mean()


def main():
    for folder in sorted(path.parents[1] for path in HERE.glob("h*/*/logs/traffic.steps.csv.gz")):
        config = folder / "model" / folder.name / "config.json"
        facts, _ = read_log(folder / "logs" / "traffic.steps.csv.gz")
        shape = load_shape(str(config) if config.exists() else facts["model"])
        print(f"== {folder.relative_to(HERE)}")
        logs = {
            path.name.removesuffix(".steps.csv.gz"): Log(
                folder / "logs", path.name.removesuffix(".steps.csv.gz"), shape
            )
            for path in sorted((folder / "logs").glob("*.steps.csv.gz"))
        }
        for name, log in logs.items():
            facts, counted = log.facts, (
                len(log.steps),
                int((log.steps["decoding"] + log.steps["prompt_tokens"]).sum()),
                int(log.steps["preempted"].sum()),
            )  # fmt: skip
            path = folder / "replays" / f"{name}.json"
            if path.exists():
                own = Replay.load(path).engine_steps
                own = own.steps, own.tokens, own.preempted
            else:
                own = tuple(facts["engine_steps"][key] for key in ("steps", "tokens", "preempted"))
            off = 100 * (log.metered_by_ticks_j() / facts["energy_j"] - 1)
            print(
                f"   {name:26s} {facts['energy_j']:8.0f} J {facts['seconds']:6.1f} s, counts "
                f"{'agree' if counted == own else f'DIFFER {counted} {own}'}, outputs "
                f"{'agree' if (log.requests['produced'] == log.requests['output_tokens']).all() else 'DIFFER'}"
                f", ticks {off:+.2f} %, {facts['reason'] or 'valid'}"
            )
        replays = [name for name in ("azure-2023-conv", "azure-2023-code") if name in logs]
        for with_time in (False, True):
            for ticks in STRETCH_TICKS:
                prices, rms, delay = best_fit(logs["traffic"], ticks, with_time)
                errors = [forecast_error(logs[name], prices, with_time) for name in replays]
                print(
                    f"   {'all time' if with_time else 'idle time'} {ticks / 10:3.1f} s: "
                    f"{prices[-1]:6.1f} W, {prices[0]:6.3f} J/{'1e10 B' if shape.experts > 1 else 'step'}, "
                    f"{1e3 * prices[1]:6.3f} mJ/token, {1e6 * prices[2]:6.2f} uJ/cached token, "
                    f"{1e6 * prices[3]:6.3f} uJ/pair, {1e3 * prices[4]:6.3f} mJ/sampled, "
                    f"{1e3 * prices[5]:7.2f} mJ/prompt; delay {delay:.2f} s, rms {100 * rms:.1f} %; "
                    f"replays {', '.join(f'{error:+.1f}' for error in errors)} %"
                )
        for left_out, other in zip(replays, reversed(replays), strict=True):
            error = error_with_other(logs, left_out, ("traffic", other))
            print(f"   prices of traffic and {other}: {left_out} {error:+.1f} %")
        for name in (*replays, "traffic"):
            mhz, capped = clocks(folder, name)
            print(f"   {name}: {mhz:.0f} MHz in the median, {100 * capped:.0f} % at the power cap")
        tables = [load_table(str(path.parent)) for path in sorted(folder.glob("vllm*/table.json"))]
        if tables:
            for name in replays:
                validation = validate(
                    name, Replay.load(folder / "replays" / f"{name}.json"), tables, tables
                )
                step = validation.checked["stepwise"]
                seconds_off = 100 * (step.estimate.seconds / validation.metered_seconds - 1)
                print(
                    f"   table {tables[0].name.split('/')[-1]}: {name}: energy {step.error_percent:+.1f} %, "
                    f"within its interval: {step.is_within}, seconds {seconds_off:+.1f} %, steps "
                    f"{validation.simulated.counts.steps:.0f} of {validation.replay.engine_steps.steps}"
                )


if __name__ == "__main__":
    main()
