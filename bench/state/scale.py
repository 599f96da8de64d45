"""How large what is measured is."""

from __future__ import annotations

from dataclasses import dataclass

GIB = 1024**3


@dataclass(frozen=True)
class Scale:
    """The full scale, by default; tests have a smaller one.

    `array_bytes` is the size of each of so many `arrays` of numpy, and of as many tensors of torch; `rows` are those of
    the small objects, four for each row; `table_rows` those of the table of the sequence of cells.
    """

    array_bytes: int = GIB // 4
    arrays: int = 8
    variables: int = 1000
    variable_bytes: int = 100_000
    rows: int = 2_500_000
    table_rows: int = 50_000
    notebooks: int = 5

    @property
    def large(self) -> str:
        """Numpy and torch, in words."""
        size = 2 * self.arrays * self.array_bytes
        return f"{size / GIB:.0f} GiB" if size >= GIB else f"{size / 1024**2:.0f} MiB"

    @property
    def objects(self) -> str:
        """The small objects, in words."""
        return f"{4 * self.rows:,} small objects"


def numpy_cells(count: int, array_bytes: int) -> list[str]:
    """Cells that make so many arrays of random numbers."""
    return ["import numpy as np\nnp.random.seed(0)"] + [
        f"a{number} = np.random.rand({array_bytes // 8})" for number in range(count)
    ]


def torch_cells(count: int, array_bytes: int) -> list[str]:
    """Cells that make so many tensors of random numbers."""
    return ["import torch\ntorch.manual_seed(0)"] + [
        f"t{number} = torch.rand({array_bytes // 4})" for number in range(count)
    ]


def object_cells(rows: int) -> list[str]:
    """A cell that makes rows of small objects: a dictionary, an integer, a text and a float each."""
    return [f"rows = [{{'number': n, 'text': str(n), 'half': n / 2}} for n in range(1000, {rows + 1000})]"]
