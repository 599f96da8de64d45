"""Polars: columns of Python's own objects, which Polars does not write down."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from regrow.state.pickling import Context


def _of_series(value: Any, context: Context) -> Any:
    if value.dtype != sys.modules["polars"].Object:
        return NotImplemented
    return _series, (value.name, value.to_list())


def _series(name: str, values: list[Any]) -> Any:
    import polars

    return polars.Series(name, values, dtype=polars.Object)


def _of_frame(value: Any, context: Context) -> Any:
    if sys.modules["polars"].Object not in value.dtypes:
        return NotImplemented
    return type(value), (value.get_columns(),)


NAMES = {("polars.series.series", "Series"): _of_series, ("polars.dataframe.frame", "DataFrame"): _of_frame}
