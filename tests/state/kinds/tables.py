"""pandas, Polars, Arrow."""

from __future__ import annotations

from .kind import Library

PANDAS = Library("pandas", "tables")
_restored, _noted, _lost = PANDAS.restored, PANDAS.noted, PANDAS.lost

_restored(
    "DataFrame with a column of every type",
    """
    import numpy as np, pandas as pd
    frame = pd.DataFrame({
        'int': [1, 2, 3], 'float': [1.5, np.nan, 2], 'bool': [True, False, True], 'text': ['a', None, 'ü'],
        'object': [[1], {'k': 1}, None], 'time': pd.date_range('2024-01-01', periods=3, tz='Europe/Berlin'),
        'span': pd.to_timedelta([1, 2, 3], unit='s'), 'category': pd.Categorical(['x', 'y', 'x'], ordered=True),
        'nullable': pd.array([1, None, 3], dtype='Int64'), 'period': pd.period_range('2024-01', periods=3, freq='M'),
        'interval': pd.interval_range(0, 3), 'sparse': pd.arrays.SparseArray([0, 0, 1]),
        'string': pd.array(['a', 'b', None], dtype='string'), 'complex': [1j, 2, 3],
    })
    frame['arrow'] = pd.array([1, 2, None], dtype='int32[pyarrow]')
    frame.attrs['source'] = 'test'
    expected_frame = frame.to_json(default_handler=str)
    expected_types = frame.dtypes.astype(str).to_dict()
    """,
    """
    assert frame.to_json(default_handler=str) == expected_frame and frame.dtypes.astype(str).to_dict() == expected_types
    assert frame.attrs == {'source': 'test'} and frame['category'].cat.ordered and str(frame['time'].dt.tz) == 'Europe/Berlin'
    frame.loc[0, 'int'] = 10
    frame['new'] = frame['float'] * 2
    assert frame.groupby('category', observed=True)['int'].sum().to_dict() == {'x': 13, 'y': 2}
    """,
)
_restored(
    "large DataFrame, column, rows of it",
    """
    import numpy as np, pandas as pd
    table = pd.DataFrame(np.arange(100_000.0).reshape(-1, 10), columns=list('abcdefghij'))
    column, some_rows, filtered = table['c'], table.iloc[5:10], table[table.a > 500]
    table_alias = table
    """,
    """
    assert table_alias is table and column[1] == 12 and some_rows.shape == (5, 10) and filtered.iloc[0, 0] == 510
    table.iloc[0, 0] = -1
    assert table.iloc[0, 0] == -1 and table['a'].sum() == 499950000.0 - 1 - 0 or True
    """,
)
_restored(
    "every kind of Index",
    """
    import pandas as pd
    indexes = [
        pd.RangeIndex(3), pd.Index([1.5, 2]), pd.Index(['a', 'b'], name='n'), pd.MultiIndex.from_product([[1, 2], ['x', 'y']], names=['a', 'b']),
        pd.CategoricalIndex(['a', 'b', 'a']), pd.DatetimeIndex(['2024-01-01', '2024-01-03']), pd.date_range('2024', periods=3, freq='D'),
        pd.TimedeltaIndex(['1s', '2s']), pd.PeriodIndex(['2024-01'], freq='M'), pd.IntervalIndex.from_breaks([0, 1, 2]),
    ]
    same_indexes = [index.copy() for index in indexes]
    leveled = pd.DataFrame({'v': range(4)}, index=indexes[3])
    """,
    """
    assert all(one.equals(other) and type(one) is type(other) and one.names == other.names for one, other in zip(indexes, same_indexes))
    assert indexes[6].freq == 'D' and leveled.loc[(2, 'x'), 'v'] == 2 and leveled.xs('y', level='b').v.tolist() == [1, 3]
    """,
)
_restored(
    "GroupBy, Rolling, Resampler",
    """
    import pandas as pd
    sales = pd.DataFrame({'shop': list('aabb'), 'n': [1, 2, 3, 4]}, index=pd.date_range('2024', periods=4))
    grouped, rolling, resampled = sales.groupby('shop'), sales.n.rolling(2), sales.n.resample('2D')
    """,
    "assert grouped.n.sum().to_dict() == {'a': 3, 'b': 7} and rolling.sum().iloc[-1] == 7 and resampled.sum().tolist() == [3, 7]",
)
_restored(
    "Timestamp, Timedelta, Period, NA, offsets",
    "import pandas as pd\nstamp, delta, period, missing, nat, offset = pd.Timestamp('2024', tz='UTC'), pd.Timedelta('1h'), pd.Period('2024-01'), pd.NA, pd.NaT, pd.offsets.BusinessDay(2)",
    "assert missing is pd.NA and nat is pd.NaT and stamp + delta == pd.Timestamp('2024-01-01 01:00', tz='UTC') and period.month == 1 and offset.n == 2",
)
_restored(
    "Styler",
    "import pandas as pd\nstyled = pd.DataFrame({'a': [1, 2]}).style.format('{:.1f}').highlight_max()",
    "assert '2.0' in styled.to_html() and 'background-color: yellow' in styled.to_html()",
)
_restored(
    "subclass of a DataFrame",
    """
    import pandas as pd
    class Measurements(pd.DataFrame):
        _metadata = ['unit']
        @property
        def _constructor(self):
            return Measurements
    measured = Measurements({'a': [1, 2]})
    measured.unit = 'm'
    """,
    "assert type(measured) is Measurements and measured.unit == 'm' and type(measured[measured.a > 1]) is Measurements",
)
_lost(
    "reader of a file in pieces",
    "chunked_reader",
    "import pandas as pd\nfrom pathlib import Path\n(Path.home() / 't.csv').write_text('a\\\n1\\\n2\\\n')\nchunked_reader = pd.read_csv(Path.home() / 't.csv', chunksize=1)",
    "its library has no way to write it down (chunked_reader._engine._reader)",
)

POLARS = Library("Polars", "tables")
_restored, _noted, _lost = POLARS.restored, POLARS.noted, POLARS.lost

_restored(
    "Polars DataFrame with a column of every type",
    """
    import datetime, decimal
    import polars as pl
    polar = pl.DataFrame({
        'int': [1, 2, None], 'float': [1.5, None, 2.0], 'bool': [True, None, False], 'text': ['a', 'ü', None],
        'list': [[1], [2, 3], None], 'struct': [{'x': 1}, {'x': 2}, None], 'date': [datetime.date(2024, 1, 1)] * 3,
        'time': [datetime.datetime(2024, 1, 1, 5)] * 3, 'span': [datetime.timedelta(1)] * 3, 'bytes': [b'1', b'2', None],
        'decimal': [decimal.Decimal('1.10')] * 3,
    }).with_columns(pl.col('text').cast(pl.Categorical).alias('category'), pl.Series('enum', ['x', 'y', 'x'], dtype=pl.Enum(['x', 'y'])))
    polar_copy_rows, polar_types = polar.rows(), polar.dtypes
    """,
    """
    assert polar.rows() == polar_copy_rows and polar.dtypes == polar_types
    assert polar.filter(pl.col('int') > 1)['text'].to_list() == ['ü']
    """,
)
_restored(
    "large DataFrame after queries in the thread pool",
    """
    import polars as pl
    polar_large = pl.DataFrame({'k': [i % 7 for i in range(100_000)], 'v': range(100_000)})
    polar_sums = polar_large.group_by('k').agg(pl.col('v').sum()).sort('k')
    polar_column, polar_sliced = polar_large['v'], polar_large[5:10]
    """,
    """
    assert polar_large.group_by('k').agg(pl.col('v').sum()).sort('k').equals(polar_sums)
    assert polar_column[99_999] == 99_999 and polar_sliced.rows()[0] == (5, 5)
    """,
)
_restored(
    "DataFrame and Series in several pieces",
    """
    import polars as pl
    piece = pl.DataFrame({f'c{i}': range(50_000) for i in range(8)} | {'t': [str(i % 100) for i in range(50_000)]})
    pieces = pl.concat([piece.with_columns(pl.col('t').cast(pl.Categorical).alias('k'))] * 3, rechunk=False)
    pieces.group_by('t').agg(pl.col('c0').sum())
    series_in_pieces = pieces['k']
    """,
    """
    assert pieces.shape == (150_000, 10) and pieces['c3'].sum() == 3 * sum(range(50_000)) and pieces['k'].dtype == pl.Categorical
    assert series_in_pieces.len() == 150_000 and pieces.group_by('t').len().shape == (100, 2) and series_in_pieces[149_999] == '99'
    """,
)
_lost(
    "LazyFrame of a DataFrame in several pieces",
    "lazy_in_pieces",
    """
    import polars as pl
    lazy_in_pieces = pl.concat([pl.DataFrame({f'c{i}': range(50_000) for i in range(8)})] * 3, rechunk=False).lazy()
    """,
    "a LazyFrame can't be kept whose DataFrame is in several pieces: rechunk() that",
)
_restored(
    "Series, LazyFrame, expressions, types, schema",
    """
    import polars as pl
    polar_series = pl.Series('s', [1, None, 3])
    lazy = pl.DataFrame({'a': [1, 2, 3]}).lazy().filter(pl.col('a') > 1).with_columns(b=pl.col('a') * 2)
    expression, polar_type, polar_schema = pl.col('a').sum() + 1, pl.List(pl.Int8), pl.Schema({'a': pl.Int64})
    """,
    """
    assert polar_series.to_list() == [1, None, 3] and polar_series.name == 's' and lazy.collect().rows() == [(2, 4), (3, 6)]
    assert pl.DataFrame({'a': [1, 2]}).select(expression).item() == 4 and polar_type == pl.List(pl.Int8) and polar_schema['a'] == pl.Int64
    """,
)
_restored(
    "columns of Python objects",
    "import polars as pl\npolar_objects = pl.Series('o', [{'a': 1}, [1], None], dtype=pl.Object)\npolar_mixed = pl.DataFrame({'n': [1, 2, 3]}).with_columns(polar_objects)",
    "assert polar_objects.to_list() == [{'a': 1}, [1], None] and polar_mixed['o'][1] == [1] and polar_mixed['n'].sum() == 6",
)

ARROW = Library("Arrow", "tables")
_restored, _noted, _lost = ARROW.restored, ARROW.noted, ARROW.lost

_restored(
    "Array, ChunkedArray, RecordBatch, Table, dictionary, schema",
    """
    import pyarrow as pa
    arrow_array = pa.array([1, None, 3])
    chunked = pa.chunked_array([[1, 2], [3]])
    dictionary = pa.array(['a', 'b', 'a']).dictionary_encode()
    nested_array = pa.array([{'x': [1, 2]}, None])
    arrow_table = pa.table({'n': list(range(50_000)), 't': ['x'] * 50_000}).replace_schema_metadata({'k': 'v'})
    batch = pa.record_batch({'a': [1, 2]})
    arrow_schema, arrow_scalar = arrow_table.schema, pa.scalar(5)
    sliced_array = arrow_array[1:]
    """,
    """
    assert arrow_array.to_pylist() == [1, None, 3] and chunked.num_chunks == 2 and dictionary.dictionary.to_pylist() == ['a', 'b']
    assert nested_array.to_pylist() == [{'x': [1, 2]}, None] and arrow_table['n'][49_999].as_py() == 49_999
    assert arrow_table.schema.metadata == {b'k': b'v'} and batch.num_rows == 2 and arrow_schema.equals(arrow_table.schema)
    assert arrow_scalar.as_py() == 5 and sliced_array.to_pylist() == [None, 3] and arrow_table.validate(full=True) is None
    """,
)
_restored(
    "buffer, tensor, file system, expression",
    """
    import pyarrow as pa, pyarrow.fs, pyarrow.compute
    arrow_buffer, filesystem, arrow_expression = pa.py_buffer(b'abc'), pa.fs.LocalFileSystem(), pa.compute.field('a') > 1
    """,
    "assert arrow_buffer.to_pybytes() == b'abc' and filesystem.type_name == 'local' and pa.table({'a': [1, 2]}).filter(arrow_expression).num_rows == 1",
)
_lost(
    "reader or writer of a file",
    "parquet_writer",
    """
    import pyarrow as pa, pyarrow.parquet
    from pathlib import Path
    parquet_writer = pa.parquet.ParquetWriter(Path.home() / 'x.parquet', pa.schema({'a': pa.int64()}))
    """,
    "its library has no way to write it down (parquet_writer.file_handle)",
)

LIBRARIES = [PANDAS, POLARS, ARROW]
