"""joulecast: forecast the energy that an LLM serving stack will spend on a request trace.

Names handed on from the three packages that do the work: `traces`, `measurements`, `estimator`.
"""

from estimator.binned import estimate_binned
from estimator.compare import ComparedTable, compare_tables
from estimator.estimate import Estimate
from estimator.flops import FlopsModel, load_flops
from estimator.ideal import ideal_energy
from estimator.stepwise import estimate_stepwise
from estimator.version import VERSION
from measurements.hardware import Gpu, load_gpu
from measurements.table import EnergyTable, load_table, table_names
from traces.errors import InputError
from traces.grid import PAPER_GRID, POWER_OF_TWO_GRID, Grid
from traces.load import (
    load_from_spark,
    load_from_table,
    load_with_lengths,
    load_workload,
    summarise,
)
from traces.workload import Workload

__version__ = VERSION

__all__ = [
    "PAPER_GRID",
    "POWER_OF_TWO_GRID",
    "ComparedTable",
    "EnergyTable",
    "Estimate",
    "FlopsModel",
    "Gpu",
    "Grid",
    "InputError",
    "Workload",
    "__version__",
    "compare_tables",
    "estimate_binned",
    "estimate_stepwise",
    "ideal_energy",
    "load_flops",
    "load_from_spark",
    "load_from_table",
    "load_gpu",
    "load_table",
    "load_with_lengths",
    "load_workload",
    "summarise",
    "table_names",
]
