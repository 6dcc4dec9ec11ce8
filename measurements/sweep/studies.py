"""Plans of the paper's controlled experiments: equal requests, one property varied at a time.

Section and figure numbers are those of Fernandez et al., ACL 2025, arXiv 2504.17674.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import product

from joulecast.measurements.sweep.run_spec import RunSpec
from joulecast.traces.grid import Grid

_FEW_INPUTS = 32, 128, 512, 2048, 8192, 32768
_OTHER_INPUTS = 64, 256, 1024, 4096, 16384
_FEW_OUTPUTS = 8, 512, 4096
_OTHER_OUTPUTS = 16, 32, 128, 256, 1024, 2048
_FEW_SIZES = 1, 8, 64
_LARGEST = 1024

Batches = Sequence[tuple[int, int, int]]


def _sweeps() -> list[Batches]:
    """Figures 1, 8 and 9: prompts of 32 to 32,768 tokens, then outputs of 8 to 4,096.

    Every fourth length at small batches comes first; then sizes between them at the longest
    output, where a batch decodes at caches of 512 to 4,608 tokens; then all others.
    """
    return [
        [
            *product(_FEW_INPUTS, (64,), _FEW_SIZES),
            *product((512,), _FEW_OUTPUTS, _FEW_SIZES),
            *product((512,), (4096,), (16, 32, 128)),
        ],
        [
            *product(_FEW_INPUTS, (64,), (256, _LARGEST)),
            *product((512,), _FEW_OUTPUTS, (256, _LARGEST)),
            *product(_OTHER_INPUTS, (64,), _FEW_SIZES),
            *product((512,), _OTHER_OUTPUTS, _FEW_SIZES),
        ],
        [
            *product((*_FEW_INPUTS, *_OTHER_INPUTS), (8,), _FEW_SIZES),
            *product((64,), (*_FEW_OUTPUTS, *_OTHER_OUTPUTS), _FEW_SIZES),
        ],
    ]


def _batches() -> list[Batches]:
    """Figures 2, 3 and 4: requests of 512 and 64 tokens in batches of 1 to 1,024."""
    sizes = 1, 8, 64, 256, _LARGEST, 2, 4, 16, 32, 128
    return [list(product((512,), (64,), sizes))]


def _decoding() -> list[Batches]:
    """Section 1.2: requests of 512 and 64 tokens at the sizes that the paper speaks of."""
    return [list(product((512,), (64,), (1, 8, 64, 128)))]


STUDIES: Mapping[str, Callable[[], list[Batches]]] = {
    "sweeps": _sweeps,
    "batches": _batches,
    "decoding": _decoding,
}
"""Name of a plan -> its batches (I, O, size), the most telling ones first."""


def study_cells(name: str) -> list[tuple[int, int]]:
    """The lengths (I, O) [tokens] of a study's batches."""
    return list(dict.fromkeys((i, o) for group in STUDIES[name]() for i, o, _ in group))


def study_runs(
    name: str, grid: Grid, capacity: Callable[[int, int], int], runs: int
) -> list[RunSpec]:
    """The runs of a study, the most telling ones first, and their repeats before all others.

    A batch larger than the GPU holds becomes the largest that it does.

    Args:
        name: Of the study.
        grid: Of the table; a largest batch counts as that of a cell where it is one of the grid's.
        capacity: B(I, O) on this engine; 0 leaves lengths out.
        runs: Repeats of every run.
    """
    on_grid = set(grid.cells())
    specs: dict[tuple[int, int, int, int], RunSpec] = {}
    for repeat in range(runs):
        for rank, group in enumerate(STUDIES[name]()):
            for i, o, wanted in group:
                largest = capacity(i, o)
                size = min(wanted, largest)
                if size:
                    is_largest = size == largest and (i, o) in on_grid
                    priority = rank * runs + repeat
                    spec = RunSpec(i, o, size, is_largest, repeat + 1, priority)
                    specs.setdefault(spec.key, spec)
    return list(specs.values())
