"""Functions of the notebook, and what they hold."""

from __future__ import annotations

from .kind import Library

LIBRARY = Library("Python: functions", "python")
_restored, _noted, _lost = LIBRARY.restored, LIBRARY.noted, LIBRARY.lost

_restored(
    "function that reads a variable",
    "factor = 3\ndef scaled(x, by=2, *, plus: int = 1) -> int:\n    'Scale.'\n    return x * by * factor + plus\nscaled.calls = [1]",
    """
    assert scaled(2) == 13 and scaled.__doc__ == 'Scale.' and scaled.calls == [1]
    assert scaled.__annotations__ == {'plus': int, 'return': int} and scaled.__kwdefaults__ == {'plus': 1}
    factor = 1
    assert scaled(2) == 5, 'it reads the variable as it is now'
    import inspect
    assert str(inspect.signature(scaled)) == '(x, by=2, *, plus: int = 1) -> int'
    """,
)
_restored(
    "lambda, also in a container",
    "square = lambda x: x * x\noperations = {'double': lambda x: 2 * x, 'square': square}",
    "assert square(3) == 9 and operations['double'](4) == 8 and operations['square'] is square",
)
_restored(
    "recursive function",
    "def factorial(n):\n    return 1 if n < 2 else n * factorial(n - 1)",
    "assert factorial(10) == 3628800",
)
_restored(
    "functions that call each other",
    "def is_even(n):\n    return n == 0 or is_odd(n - 1)\ndef is_odd(n):\n    return n != 0 and is_even(n - 1)",
    "assert is_even(10) and is_odd(7)",
)
_restored(
    "recursive function inside of a function",
    """
    def make_fibonacci():
        known = {}
        def fibonacci(n):
            if n not in known:
                known[n] = n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)
            return known[n]
        return fibonacci
    fibonacci = make_fibonacci()
    fibonacci(20)
    None
    """,
    "assert fibonacci(50) == 12586269025",
)
_restored(
    "closures that share a cell",
    """
    def make_counter():
        count = 0
        def increment():
            nonlocal count
            count += 1
            return count
        def read():
            return count
        return increment, read
    increment, read = make_counter()
    increment()
    other_increment, other_read = make_counter()
    """,
    """
    increment(); increment()
    assert read() == 3 and other_read() == 0
    assert increment.__closure__[0] is read.__closure__[0]
    """,
)
_restored(
    "closure over an object that is a variable too",
    "log = []\ndef make_logger(into):\n    return lambda message: into.append(message)\nwrite = make_logger(log)",
    "write('x')\nassert log == ['x']",
)
_restored(
    "partial, partialmethod, cached function",
    """
    from functools import cache, lru_cache, partial
    def power(base, exponent):
        return base ** exponent
    cube = partial(power, exponent=3)
    """,
    "assert cube(2) == 8 and cube.func is power",
)
_noted(
    "function with a cache",
    "remembered",
    """
    from functools import lru_cache
    @lru_cache(maxsize=5)
    def remembered(x):
        return x + 1
    remembered(1)
    None
    """,
    "assert remembered(4) == 5 and remembered.cache_info().maxsize == 5 and remembered.cache_info().misses == 1",
    "a function with a cache comes back with that empty",
)
_restored(
    "decorated function",
    """
    import functools
    def logged(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            wrapper.calls += 1
            return function(*args, **kwargs)
        wrapper.calls = 0
        return wrapper
    @logged
    def decorated(x):
        'Doc.'
        return -x
    decorated(1)
    None
    """,
    "assert decorated(5) == -5 and decorated.calls == 2 and decorated.__doc__ == 'Doc.' and decorated.__name__ == 'decorated'",
)
_restored(
    "decorator with arguments, singledispatch",
    """
    from functools import singledispatch
    def times(n):
        def decorate(function):
            return lambda *args: [function(*args) for _ in range(n)]
        return decorate
    @times(3)
    def hello():
        return 'hello'
    @singledispatch
    def describe(value):
        return 'something'
    @describe.register
    def _(value: int):
        return 'a number'
    """,
    "assert hello() == ['hello'] * 3 and describe('x') == 'something' and describe(1) == 'a number'",
)
_restored(
    "generator function, coroutine function",
    "def generate(n):\n    yield from range(n)\nasync def wait_for(x):\n    return x",
    "assert list(generate(3)) == [0, 1, 2]\nassert await wait_for(5) == 5",
)
_lost(
    "generator",
    "generated",
    "generated_from = [1, 2]\ngenerated = (x for x in generated_from)",
    "a generator can't be kept: it is in the middle of its code. Make it again",
    "assert generated_from == [1, 2]",
)
_lost(
    "list that holds a generator, beside others that share its objects",
    "holder",
    "held = [1]\nholder = {'held': held, 'running': (x for x in held)}\nalso_held = {'held': held}",
    "a generator can't be kept: it is in the middle of its code. Make it again (holder['running'])",
    "assert also_held['held'] is held",
)
_lost(
    "coroutine",
    "started",
    "async def slowly():\n    return 1\nstarted = slowly()",
    "a coroutine can't be kept: it is in the middle of its code. Make it again",
)
_lost(
    "async generator",
    "async_generated",
    "async def produce():\n    yield 1\nasync_generated = produce()",
    "an async generator can't be kept: it is in the middle of its code. Make it again",
)
_lost(
    "asyncio task",
    "task",
    "import asyncio\nasync def sleeper():\n    await asyncio.sleep(1000)\ntask = asyncio.ensure_future(sleeper())",
    "a task of asyncio can't be kept: it is in the middle of its code. Start it again",
)
_restored(
    "built-in functions and methods, operators",
    """
    import math, operator
    largest, root, push, get_name = max, math.sqrt, [1].append, operator.attrgetter('name')
    stack = []
    push_stack = stack.append
    upper = str.upper
    """,
    """
    push_stack(5)
    assert largest is max and root is math.sqrt and stack == [5] and push.__self__ == [1] and upper is str.upper
    from types import SimpleNamespace
    assert get_name(SimpleNamespace(name='x')) == 'x'
    """,
)
_restored(
    "modules",
    """
    import json, os.path
    import numpy.linalg as la
    import xml.etree.ElementTree as ET
    from math import sqrt
    from collections import OrderedDict as OD
    modules = [json, la]
    """,
    """
    import sys
    assert json is sys.modules['json'] and os.path.join('a', 'b') == 'a/b' and la is sys.modules['numpy.linalg']
    assert sqrt(4) == 2 and OD.__name__ == 'OrderedDict' and modules[1] is la and ET.fromstring('<a/>').tag == 'a'
    """,
)
_restored(
    "module made in the notebook",
    "import types\nown_module = types.ModuleType('own_module', 'Doc.')\nexec('count = 1\\ndef read():\\n    return count', own_module.__dict__)",
    "assert own_module.count == 1 and own_module.read() == 1 and own_module.__doc__ == 'Doc.'\nown_module.count = 2\nassert own_module.read() == 2",
)
_restored(
    "module from a file that the notebook put on sys.path",
    """
    import sys
    from pathlib import Path
    (Path.home() / 'lib').mkdir()
    (Path.home() / 'lib/local_tools.py').write_text('class Tool:\\n    size = 3\\ndef use():\\n    return Tool.size')
    sys.path.append(str(Path.home() / 'lib'))
    import local_tools
    from local_tools import Tool, use
    tool = Tool()
    """,
    "assert use() == 3 and tool.size == 3 and type(tool) is Tool is local_tools.Tool\nimport sys\nassert sys.path[-1].endswith('/lib')",
)
_restored(
    "module from a file that is at the front of sys.path",
    """
    import sys
    from pathlib import Path
    (Path.home() / 'front').mkdir()
    (Path.home() / 'front/local_front.py').write_text('value = 1')
    sys.path.insert(0, str(Path.home() / 'front'))
    import local_front
    """,
    "import sys\nassert sys.path[0].endswith('/front') and local_front.value == 1",
)
_restored(
    "working directory, environment",
    """
    import os
    os.environ['TRAINING_MODE'] = 'fast'
    os.makedirs('below', exist_ok=True)
    os.chdir('below')
    """,
    "import os\nassert os.environ['TRAINING_MODE'] == 'fast' and os.path.basename(os.getcwd()) == 'below'\nos.chdir('..')",
)
_restored(
    "code, cell and AST objects",
    "import ast\ncode = compile('1 + 1', 'x', 'eval')\nsyntax = ast.parse('f(x)')",
    "assert eval(code) == 2 and ast.unparse(syntax) == 'f(x)'",
)
