"""What a plan is said to take, beside what shipped windows took."""

import statistics

from joulecast.measurements.engines import EngineVariant
from joulecast.measurements.engines.decoding import Speculation
from joulecast.measurements.sweep.request import cost_model
from joulecast.measurements.sweep.run_spec import RunSpec
from joulecast.measurements.table.runs import Run
from joulecast.measurements.table.studies import load_study, study_names


def test_rounds_of_a_draft_take_about_what_they_are_said_to() -> None:
    """Within the bounds that docs/measure.md names."""
    ratios = []
    for name in study_names():
        if "/vllm-acceptance-" in name:
            study = load_study(name)
            variant = EngineVariant(
                speculation=Speculation(**study.metadata["variant"]["speculation"])
            )
            cost = cost_model(study.gpu, study.model, "vllm", "bfloat16", variant)
            ratios += [
                run.seconds / run.batches / cost.batch_seconds(spec_of(run)) for run in study.runs
            ]
    assert len(ratios) == 20
    assert min(ratios) > 0.9
    assert max(ratios) < 2.3
    assert statistics.median(ratios) < 1.5


def spec_of(run: Run) -> RunSpec:
    return RunSpec(*run.batch, run.at_capacity, run.run)
