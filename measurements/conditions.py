"""What every measurement says of itself: which GPUs, engine and model, which versions and when."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from joulecast.measurements.engines import Engine, EngineVariant
from joulecast.measurements.gpu.devices import GpuDevice
from joulecast.measurements.gpu.meter import Reading
from joulecast.measurements.gpu.window import utc_now
from joulecast.measurements.hardware import Gpu, find_gpu
from joulecast.measurements.host import host_cpu
from joulecast.measurements.shapes.shape import COMPUTE_DTYPE


def conditions(gpus: Sequence[GpuDevice], engine: Engine, model: str, maker: str) -> dict[str, Any]:
    """Facts for table.json and for a replay, which `facts.MEASURED` checks.

    Args:
        gpus: That it runs on, all of one kind.
        engine: Loaded.
        model: Short name of the model.
        maker: Program and version that measures.

    Raises:
        InputError: No data sheet for these GPUs.
    """
    return {
        "gpu": find_gpu(gpus[0].product).name,
        "gpu_product": gpus[0].product,
        "gpu_count": len(gpus),
        "power_limit_w": sum(gpu.power_limit_w() for gpu in gpus),
        "model": model,
        "engine": engine.name,
        "engine_version": engine.version,
        "engine_settings": engine.settings(),
        "dtype": engine.dtype,
        "weights": engine.weights,
        "measured_on": datetime.now(UTC).date().isoformat(),
        "measured_by": maker,
    }


def data_sheet(gpus: Sequence[GpuDevice], variant: EngineVariant) -> Gpu:
    """The data sheet of the GPUs at hand, asked for before an engine is started.

    Raises:
        InputError: There is none, or it has no peak for what the variant computes in.
    """
    sheet = find_gpu(gpus[0].product)
    if variant.quantization is not None:
        sheet.peak(COMPUTE_DTYPE[variant.quantization])
    return sheet


def card_facts(gpus: Sequence[GpuDevice], idle: Reading) -> dict[str, Any]:
    """What table.json says of the card, or of several together, and of its host.

    Args:
        gpus: All that the engine runs on.
        idle: With the model loaded and nothing to do.
    """
    return {
        "idle_power_w": round(idle.mean_power_w, 2),
        "idle_window_s": round(idle.seconds, 3),
        "first_used": utc_now(),
        **gpus[0].details(),
        "host_cpu": host_cpu(),
    }
