from .api import (
    compare,
    compare_tables,
    estimate,
    estimate_binned,
    estimate_models,
    estimate_stepwise,
    plan,
)
from .estimator.attribution.attribution import (
    Attribution,
    IdlePower,
    TokenShare,
)
from .estimator.attribution.cells import (
    CellEstimate,
)
from .estimator.basis import (
    Basis,
)
from .estimator.by_model import (
    ModelEstimates,
)
from .estimator.by_model.names import (
    NotEstimated,
)
from .estimator.compare import (
    ComparedTable,
    Comparison,
)
from .estimator.estimate import (
    Estimate,
)
from .estimator.flops import (
    FlopsModel,
    load_flops,
)
from .estimator.footprint.carbon import (
    CarbonIntensity,
    find_region,
    regions,
)
from .estimator.footprint.cloud_regions import (
    CloudRegion,
)
from .estimator.footprint.facility import (
    Facility,
    Price,
)
from .estimator.footprint.server import (
    ServedTime,
    ServerOverhead,
)
from .estimator.groups import (
    GroupShare,
)
from .estimator.ideal import (
    ideal_energy,
)
from .estimator.planning.fleets import (
    FleetOption,
    NotPlanned,
)
from .estimator.planning.result import (
    FleetPlan,
)
from .estimator.rates.card import (
    Load,
    RateCard,
    rate_card,
)
from .measurements.hardware import (
    Gpu,
    gpu_names,
    load_gpu,
)
from .measurements.table.interpolation import (
    CellEnergy,
)
from .measurements.table.runs import (
    Run,
)
from .measurements.table.table import (
    EnergyTable,
    load_table,
    table_names,
)
from .traces.cell_sums import (
    CellSums,
)
from .traces.errors import (
    InputError,
)
from .traces.grid import (
    PAPER_GRID,
    POWER_OF_TWO_GRID,
    Grid,
)
from .traces.inputs.equal import (
    equal_requests,
)
from .traces.load import (
    load_from_spark,
    load_from_table,
    load_with_lengths,
    load_workload,
    summarise,
)
from .traces.reading.rows.reading import (
    TraceReading,
)
from .traces.summary import (
    LengthStatistics,
    TraceSummary,
)
from .traces.workload import (
    Failed,
    Workload,
)

__version__: str

__all__ = [
    "PAPER_GRID",
    "POWER_OF_TWO_GRID",
    "Attribution",
    "Basis",
    "CarbonIntensity",
    "CellEnergy",
    "CellEstimate",
    "CellSums",
    "CloudRegion",
    "ComparedTable",
    "Comparison",
    "EnergyTable",
    "Estimate",
    "Facility",
    "Failed",
    "FleetOption",
    "FleetPlan",
    "FlopsModel",
    "Gpu",
    "Grid",
    "GroupShare",
    "IdlePower",
    "InputError",
    "LengthStatistics",
    "Load",
    "ModelEstimates",
    "NotEstimated",
    "NotPlanned",
    "Price",
    "RateCard",
    "Run",
    "ServedTime",
    "ServerOverhead",
    "TokenShare",
    "TraceReading",
    "TraceSummary",
    "Workload",
    "__version__",
    "compare",
    "compare_tables",
    "equal_requests",
    "estimate",
    "estimate_binned",
    "estimate_models",
    "estimate_stepwise",
    "find_region",
    "gpu_names",
    "ideal_energy",
    "load_flops",
    "load_from_spark",
    "load_from_table",
    "load_gpu",
    "load_table",
    "load_with_lengths",
    "load_workload",
    "plan",
    "rate_card",
    "regions",
    "summarise",
    "table_names",
]
