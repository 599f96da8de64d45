"""NumPy."""

from __future__ import annotations

from .kind import Library

LIBRARY = Library("NumPy", "tables")
_restored, _noted, _lost = LIBRARY.restored, LIBRARY.noted, LIBRARY.lost

_restored(
    "arrays of every type of number, text, time",
    """
    import numpy as np
    by_type = {name: np.arange(3).astype(name) for name in ['?', 'i1', 'u8', 'f2', 'f4', 'f8', 'g', 'c8', 'c16', 'S5', 'U5', 'M8[s]', 'm8[ms]', '>i4']}
    of_objects = np.array([[1], {'a': 2}, None], dtype=object)
    large_array = np.arange(100_000.0)
    """,
    """
    for name, each in by_type.items():
        assert each.dtype == np.dtype(name) and (each == np.arange(3).astype(name)).all(), name
    assert of_objects[1] == {'a': 2} and of_objects.dtype == object and large_array.sum() == 4999950000.0
    large_array[0] = 5
    """,
)
_restored(
    "views of one array: sliced, reversed, strided, transposed",
    """
    import numpy as np
    whole = np.arange(100_000).reshape(100, 1000)
    row, backwards_view, strided, transposed = whole[3], whole[::-1], whole[::2, ::3], whole.T
    flat, as_bytes = whole.ravel(), whole.view(np.uint8)
    """,
    """
    whole[3, 0] = -1
    assert row[0] == -1 and backwards_view[96, 0] == -1 and transposed[0, 3] == -1 and flat[3000] == -1
    whole[4, 6] = -2
    assert strided[2, 2] == -2 and as_bytes[4, 48] == 254 and np.shares_memory(whole, strided)
    """,
)
_restored(
    "views whose whole array is no variable",
    """
    import numpy as np
    first_half, second_half = np.split(np.arange(1000), 2)
    overlapping = np.lib.stride_tricks.sliding_window_view(first_half, 3)
    """,
    "first_half[1] = -5\nassert overlapping[0, 1] == overlapping[1, 0] == -5 and second_half[0] == 500",
)
_restored(
    "arrays in objects that share memory",
    """
    import numpy as np
    class Holder:
        pass
    holding, weights = Holder(), np.zeros((200, 200))
    holding.part = weights[10:20]
    nested_views = {'a': [weights[0]]}
    """,
    "weights[12, 3] = 7\nassert holding.part[2, 3] == 7\nweights[0, 0] = 1\nassert nested_views['a'][0][0] == 1",
)
_restored(
    "Fortran order, no elements, no dimensions, broadcast",
    """
    import numpy as np
    fortran, empty, scalar_array = np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.empty((0, 3)), np.array(5.0)
    broadcast = np.broadcast_to(np.arange(3), (1000, 3))
    number_of_numpy = np.float32(1.5)
    """,
    """
    assert fortran.flags.f_contiguous and fortran[1, 2] == 5 and empty.shape == (0, 3) and scalar_array.shape == () and scalar_array == 5
    assert broadcast.shape == (1000, 3) and (broadcast[999] == [0, 1, 2]).all() and type(number_of_numpy) is np.float32
    """,
)
_restored(
    "read-only array",
    "import numpy as np\nread_only = np.arange(100_000)\nread_only.flags.writeable = False\nread_only_view = read_only[5:]",
    """
    for each in (read_only, read_only_view):
        try:
            each[0] = 1
        except ValueError:
            pass
        else:
            raise AssertionError('it can be written to')
    """,
)
_restored(
    "structured array, record array",
    """
    import numpy as np
    people = np.array([('Ada', 36), ('Bob', 50)], dtype=[('name', 'U10'), ('age', 'i4')])
    ages = people['age']
    records = people.copy().view(np.recarray)
    """,
    "people['age'][0] = 37\nassert ages[0] == 37 and people[0]['name'] == 'Ada' and records.age[1] == 50 and type(records) is np.recarray",
)
_restored(
    "masked array, matrix, char array",
    """
    import numpy as np
    masked = np.ma.array([1.0, 2.0, 3.0], mask=[0, 1, 0], fill_value=-1)
    matrix = np.matrix([[1, 2], [3, 4]])
    """,
    "assert masked.sum() == 4 and masked.fill_value == -1 and masked.mask[1] and (matrix * matrix)[0, 0] == 7 and type(matrix) is np.matrix",
)
_restored(
    "subclass of an array",
    """
    import numpy as np
    class Signal(np.ndarray):
        def __new__(cls, values, rate):
            made = np.asarray(values).view(cls)
            made.rate = rate
            return made
        def __array_finalize__(self, other):
            self.rate = getattr(other, 'rate', None)
        def __reduce__(self):
            make, arguments, state = super().__reduce__()
            return make, arguments, (state, self.rate)
        def __setstate__(self, state):
            super().__setstate__(state[0])
            self.rate = state[1]
    signal = Signal([1.0, 2.0], rate=8000)
    """,
    "assert type(signal) is Signal and signal.rate == 8000 and signal.sum() == 3",
)
_noted(
    "memory map of a file",
    "mapped part_of_mapped",
    """
    import numpy as np
    from pathlib import Path
    np.arange(1000.0).tofile(Path.home() / 'numbers.dat')
    mapped = np.memmap(Path.home() / 'numbers.dat', dtype='f8', mode='r+')
    part_of_mapped = mapped[10:20]
    """,
    """
    assert type(mapped) is np.memmap and mapped[999] == 999 and part_of_mapped[0] == 10
    mapped[10] = -1
    mapped.flush()
    assert np.fromfile(mapped.filename)[10] == -1 and part_of_mapped[0] == -1
    """,
    "it is a map of ~/numbers.dat: what is in that file then is what it has",
)
_restored(
    "Generator, RandomState, SeedSequence in their middle",
    """
    import copy
    import numpy as np
    generator, old_state, seeds = np.random.default_rng(5), np.random.RandomState(3), np.random.SeedSequence(1)
    generator.normal(size=3); old_state.normal()
    expected_draws = [copy.deepcopy(generator).normal(), copy.deepcopy(old_state).normal()]
    drawer = generator.integers
    philox = np.random.Generator(np.random.Philox(9))
    """,
    """
    assert [generator.normal(), old_state.normal()] == expected_draws and seeds.entropy == 1
    assert drawer.__self__ is generator and philox.integers(10) == np.random.Generator(np.random.Philox(9)).integers(10)
    """,
)
_restored(
    "the global generator",
    "import numpy as np\nnp.random.seed(11); np.random.rand(3)\nglobal_draw = np.random.RandomState(); global_draw.set_state(np.random.get_state())\nglobal_draw = global_draw.rand()",
    "assert np.random.rand() == global_draw",
)
_restored(
    "types, universal functions, polynomials",
    """
    import numpy as np
    add_all, half, sine, fitted_polynomial = np.add, np.dtype([('a', 'f2')]), np.sin, np.polynomial.Polynomial([1, 2])
    vectorized = np.vectorize(lambda x: x + 1)
    lookup = np.load
    """,
    "assert add_all is np.add and half['a'] == np.float16 and sine is np.sin and fitted_polynomial(2) == 5 and vectorized([1])[0] == 2 and lookup is np.load",
)
_lost(
    "iterators over arrays",
    "array_iterator",
    "import numpy as np\narray_iterator = np.nditer(np.arange(3))",
    "an object of type numpy.nditer can't be pickled",
)
_lost(
    "universal function made of a function",
    "python_ufunc",
    "import numpy as np\npython_ufunc = np.frompyfunc(abs, 1, 1)",
    "pickling it raised PicklingError: Can't pickle <ufunc 'abs (vectorized)'>: it's not found as __main__.abs (vectorized)",
)
