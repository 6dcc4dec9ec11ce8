"""B(I, O), the largest batches of plain PyTorch, where they were not searched for.

    B = (memory - weights - 1 GiB kept free - what the process takes) / bytes of a request

What a request takes at its peak is what the search for batches starts from (docs/engines.md); what
the process takes is the only figure that is fitted, to the batches of the shipped table.
"""

from joulecast.estimator.steps.static_batching import StaticBatching
from joulecast.estimator.unit_prices.deployment import Deployment
from joulecast.estimator.unit_prices.memory import memory_bytes
from joulecast.measurements.engines import MAX_BATCH_SIZE, request_bytes
from joulecast.measurements.table.interpolation import CellKey
from joulecast.traces.errors import InputError
from joulecast.traces.grid import PAPER_GRID, Grid

RESERVE_BYTES = 2**30
PROCESS_BYTES = 1.54e9
"""CUDA's context, the libraries' workspaces and what is in no model of a request: 523 requests of
(512, 8) did not fit on the H100, and 522 did."""


def left_bytes(deployment: Deployment) -> float:
    """What is left to a batch [B]; less than 0 if the weights do not fit."""
    weights = deployment.shape.weight_bytes(deployment.dtype, deployment.quantization)
    return memory_bytes(deployment) - weights - RESERVE_BYTES - PROCESS_BYTES


def batch_limit(deployment: Deployment, cell: CellKey) -> int:
    """B(I, O) of a cell, at most `MAX_BATCH_SIZE`; 0 if not even one request fits."""
    each = request_bytes("pytorch", deployment.shape, deployment.dtype, *cell)
    return max(0, min(MAX_BATCH_SIZE, int(left_bytes(deployment) / each)))


def static_batching_for(deployment: Deployment, grid: Grid = PAPER_GRID) -> StaticBatching:
    """The scheduler of plain PyTorch on a GPU where no batch was searched for.

    Raises:
        InputError: The GPU does not hold the model and a request, or PyTorch is not known to serve
            it so.
    """
    _require_plain(deployment)
    shape, gpu = deployment.shape, deployment.gpu
    longest = _longest_request(deployment)
    if longest < sum(min(grid.cells())):
        weights = shape.weight_bytes(deployment.dtype, deployment.quantization)
        raise InputError(
            f"{shape.name}: its weights take {weights / 1e9:,.0f} GB, and one {gpu.product} of "
            f"{gpu.memory_bytes / 1e9:,.0f} GB cannot hold them and a request under plain PyTorch; "
            "take a larger --gpu, or --engine vllm"
        )
    largest = {cell: float(max(1, batch_limit(deployment, cell))) for cell in grid.cells()}
    return StaticBatching(grid, largest, longest)


def _require_plain(deployment: Deployment) -> None:
    """Refuse what the pytorch engine does not do, or what nobody measured it doing."""
    reasons = {
        "runs on one GPU; leave --gpus out": deployment.gpus > 1,
        "has no quantized weights; leave --dtype out": deployment.quantization is not None,
        "was not measured with a mixture of experts, whose layers it runs in another way": (
            deployment.shape.is_mixture
        ),
    }
    for reason, is_so in reasons.items():
        if is_so:
            raise InputError(f"{deployment.text}: plain PyTorch {reason}, or take --engine vllm")


def _longest_request(deployment: Deployment) -> int:
    """Input and output of the longest request that fits alone [tokens], as if all were input."""
    each = request_bytes("pytorch", deployment.shape, deployment.dtype, 1, 1)
    return max(0, int(left_bytes(deployment) / each))
