"""Twenty cells as a data scientist writes them, each of them saved; then back to what was there after the first."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

from bench.case import PeerUnavailable
from bench.state.files import remove, size
from bench.state.kernels import Kernel, with_kishu, with_session
from bench.state.stages import Stage


def cells(rows: int) -> list[str]:
    """The cells: a table of so many rows is made, cleaned, explored, and models are trained on it."""
    return [
        "import numpy as np\nimport pandas as pd\n"
        f"np.random.seed(0)\nn = {rows}\n"
        "raw = pd.DataFrame({f'x{i}': np.random.normal(size=n) for i in range(8)})\n"
        "raw['kind'] = np.random.choice(['red', 'green', 'blue'], n)\n"
        "raw['day'] = np.random.randint(0, 365, n)\n"
        "raw.loc[np.random.rand(n) < 0.01, 'x3'] = np.nan",
        "summary = raw.describe()\nsummary",
        "data = raw.dropna().reset_index(drop=True)\nlen(data)",
        "data['ratio'] = data.x0 / (1 + data.x1.abs())\ndata['weekday'] = data.day % 7",
        "by_kind = data.groupby('kind').mean(numeric_only=True)\nby_kind",
        "encoded = pd.get_dummies(data, columns=['kind', 'weekday'], dtype=float)\nencoded.shape",
        "target = (encoded.x0 * 2 + encoded.x1 ** 2 + np.random.normal(size=len(encoded))).to_numpy()",
        "features = encoded.to_numpy(np.float64)\nfeatures.shape",
        "order, half = np.random.permutation(len(features)), len(features) // 2\n"
        "train, test = order[:half], order[half:]",
        "from sklearn.preprocessing import StandardScaler\nscaler = StandardScaler().fit(features[train])",
        "scaled = scaler.transform(features)",
        "from sklearn.linear_model import Ridge\nmodel = Ridge().fit(scaled[train], target[train])",
        "predicted = model.predict(scaled[test])\nerror = float(np.mean((predicted - target[test]) ** 2))\nerror",
        "scores = {}\nfor alpha in (0.1, 1.0, 10.0, 100.0):\n"
        "    scores[alpha] = Ridge(alpha).fit(scaled[train], target[train]).score(scaled[test], target[test])",
        "best = max(scores, key=scores.get)\nmodel = Ridge(best).fit(scaled[train], target[train])",
        "from sklearn.ensemble import RandomForestRegressor\n"
        "some = train[:5000]\n"
        "forest = RandomForestRegressor(20, max_depth=8, random_state=0).fit(features[some], target[some])",
        "importance = pd.Series(forest.feature_importances_, encoded.columns).sort_values()\nimportance.tail()",
        "data.loc[data.x2 > 3, 'x2'] = 3.0",
        "weights = np.zeros(scaled.shape[1])\nhistory = []\nfor epoch in range(20):\n"
        "    slope = scaled[train].T @ (scaled[train] @ weights - target[train]) / len(train)\n"
        "    weights -= 0.1 * slope\n    history.append(float(np.abs(slope).max()))",
        "def report(name, value):\n    return f'{name}: {value:.3f}'\n\n"
        "lines = [report(*each) for each in scores.items()]",
    ]


class Sequence(Stage):
    """The cells in a kernel of ours and in one with Kishu. `saving` runs them; the others look at its last run."""

    def __init__(self, folder: Path, rows: int, peers: Path | PeerUnavailable) -> None:
        super().__init__(folder)
        self._cells = cells(rows)
        self._peers = peers
        self._first = self._first_commit = ""
        # Minutes: once is enough.
        self.kishu_saving = cache(self._kishu_saving)

    def saving(self) -> float:
        """Seconds that our saves took after the cells, together."""
        self._again("ours")
        seconds, self._first = self._run(self._ours(), "first_checkpoint()")
        return seconds

    def stored(self) -> float:
        """Bytes of our checkpoints."""
        self._ours()
        return float(size(self.folder / "ours" / "state"))

    def checkout(self) -> float:
        """Seconds until all variables are again what they were after the first cell."""
        kernel = self._ours()
        seconds = float(kernel.measured(f"checkout({self._first!r})"))
        return self._checked(kernel, seconds)

    def _kishu_saving(self) -> float:
        # Seconds that Kishu's checkpoints took.
        self._again("kishu")
        seconds, self._first_commit = self._run(self._kishu(), "kishu_head()")
        return seconds

    def kishu_stored(self) -> float:
        """Bytes of Kishu's database."""
        self._kishu()
        return float(sum(size(file) for file in (self.folder / "kishu").glob("n.kishudb*")))

    def kishu_checkout(self) -> float:
        """Seconds until all variables are again what they were after the first cell."""
        kernel = self._kishu()
        seconds = float(kernel.measured(f"kishu_checkout({self._first_commit!r})"))
        return self._checked(kernel, seconds)

    def _checked(self, kernel: Kernel, seconds: float) -> float:
        if not kernel.value("raw.shape == (n, 10) and 'data' not in globals()"):
            raise RuntimeError("the variables are not what they were after the first cell")
        return seconds

    def _run(self, kernel: Kernel, latest: str) -> tuple[float, str]:
        seconds, first = 0.0, ""
        for number, cell in enumerate(self._cells):
            kernel.run(cell)
            seconds += sum(kernel.measured("after_cells()"))
            if number == 0:
                first = str(kernel.measured(latest))
        return seconds, first

    def _ours(self) -> Kernel:
        def prepare(kernel: Kernel) -> None:
            kernel.measured("only_when_asked()")
            kernel.measured("watch_cells(__import__('measured').save)")

        return self.open().kernel("ours", lambda folder: with_session(folder, Path(sys.executable)), prepare)

    def _kishu(self) -> Kernel:
        if isinstance(self._peers, PeerUnavailable):
            raise self._peers
        python = self._peers

        def prepare(kernel: Kernel) -> None:
            kernel.quietly(f"start_kishu({str(self.folder / 'kishu' / 'n.ipynb')!r})")
            kernel.measured("watch_cells()")

        return self.open().kernel("kishu", lambda folder: with_kishu(folder, python), prepare)

    def _again(self, name: str) -> None:
        self.open().end_kernel(name)
        remove(self.folder / name)
