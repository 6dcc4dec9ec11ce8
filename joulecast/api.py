"""Estimates as programs ask for them; their results show themselves in notebooks."""

from joulecast.estimator.binned import estimate_binned
from joulecast.estimator.by_model import estimate_models
from joulecast.estimator.compare import Comparison, compare_tables
from joulecast.estimator.estimate import Estimate
from joulecast.estimator.forecast import compare, estimate
from joulecast.estimator.planning.plan import plan
from joulecast.estimator.planning.result import FleetPlan
from joulecast.estimator.stepwise import estimate_stepwise
from joulecast.traces.html import html_of

__all__ = [
    "compare",
    "compare_tables",
    "estimate",
    "estimate_binned",
    "estimate_models",
    "estimate_stepwise",
    "plan",
]


@html_of.register
def _(result: Estimate) -> str:
    from joulecast.views.notebook import estimate_html

    return estimate_html(result)


@html_of.register
def _(result: Comparison) -> str:
    from joulecast.views.notebook import comparison_html

    return comparison_html(result)


@html_of.register
def _(result: FleetPlan) -> str:
    from joulecast.views.planning.plan import plan_html

    return plan_html(result)
