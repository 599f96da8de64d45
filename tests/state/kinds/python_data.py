"""Python's own containers and values."""

from __future__ import annotations

from .kind import Library

LIBRARY = Library("Python: data", "python")
_restored, _noted, _lost = LIBRARY.restored, LIBRARY.noted, LIBRARY.lost

_restored(
    "numbers, text, bytes",
    "big, real, imaginary, flag, text, raw = 2**200, 0.1 + 0.2, 1 + 2j, True, 'Übung 🦊 \\udc80', b'\\x00\\xff'",
    """
    assert (big, real, imaginary, text, raw) == (2**200, 0.1 + 0.2, 1 + 2j, 'Übung 🦊 \\udc80', b'\\x00\\xff')
    assert flag is True
    """,
)
_restored(
    "None, Ellipsis, NotImplemented",
    "nothing, dots, not_done = None, ..., NotImplemented",
    "assert nothing is None and dots is ... and not_done is NotImplemented",
)
_restored(
    "list, tuple, dict, set that share what is in them",
    """
    inner = [1, 2]
    outer = {'list': inner, 'tuple': (inner, inner), 'set': {1, 2}}
    alias = outer['tuple']
    """,
    """
    assert outer['list'] is inner and alias is outer['tuple'] and alias[0] is alias[1] is inner
    inner.append(3)
    assert outer == {'list': [1, 2, 3], 'tuple': ([1, 2, 3], [1, 2, 3]), 'set': {1, 2}}
    """,
)
_restored(
    "dictionary with keys of several kinds, in its order",
    "ordered_keys = {(1, 2): 'tuple', frozenset({3}): 'set', 2.5: 'float', None: 'none', 'z': 1, 'a': 2}",
    "assert list(ordered_keys) == [(1, 2), frozenset({3}), 2.5, None, 'z', 'a'] and ordered_keys[frozenset({3})] == 'set'",
)
_restored(
    "list that contains itself",
    """
    loop = [1]
    loop.append(loop)
    loop_of_two = {}
    loop_of_two['back'] = ([loop_of_two],)
    """,
    "assert loop[1] is loop and loop_of_two['back'][0][0] is loop_of_two",
)
_restored(
    "lists nested 10,000 deep",
    """
    deep = bottom = []
    for _ in range(10_000):
        bottom.append([])
        bottom = bottom[0]
    bottom.append('found')
    """,
    """
    level, levels = deep, 0
    while level and level[0] != 'found':
        level, levels = level[0], levels + 1
    assert levels == 10_000 and level is bottom
    """,
)
_restored(
    "linked list of 10,000 objects",
    """
    class Link:
        def __init__(self, following):
            self.following = following
    chain = None
    for _ in range(10_000):
        chain = Link(chain)
    """,
    """
    each, length = chain, 0
    while each is not None:
        assert type(each) is Link
        each, length = each.following, length + 1
    assert length == 10_000
    """,
)
_restored(
    "deque",
    "from collections import deque\nlast_steps = deque([1, 2, 3], maxlen=3)",
    "last_steps.append(4)\nassert list(last_steps) == [2, 3, 4] and last_steps.maxlen == 3",
)
_restored(
    "defaultdict",
    """
    from collections import defaultdict
    by_key = defaultdict(list, a=[1])
    by_lambda = defaultdict(lambda: defaultdict(int))
    by_lambda['x']['y'] += 1
    """,
    """
    by_key['b'].append(2)
    by_lambda['new']['z'] += 1
    assert by_key == {'a': [1], 'b': [2]} and by_lambda == {'x': {'y': 1}, 'new': {'z': 1}}
    """,
)
_restored(
    "OrderedDict, Counter, ChainMap, UserDict",
    """
    from collections import ChainMap, Counter, OrderedDict, UserDict
    ordered = OrderedDict(b=1, a=2)
    ordered.move_to_end('b')
    counted = Counter('abracadabra')
    base = {'colour': 'red'}
    chained = ChainMap({}, base)
    wrapped = UserDict(a=1)
    """,
    """
    assert list(ordered) == ['a', 'b'] and counted['a'] == 5 and counted.most_common(1) == [('a', 5)]
    base['colour'] = 'blue'
    assert chained['colour'] == 'blue' and chained.maps[1] is base and wrapped.data == {'a': 1}
    """,
)
_restored(
    "views of a dictionary: keys, values, items",
    """
    viewed = {'a': 1}
    keys, values, items = viewed.keys(), viewed.values(), viewed.items()
    """,
    """
    viewed['b'] = 2
    assert list(keys) == ['a', 'b'] and list(values) == [1, 2] and list(items) == [('a', 1), ('b', 2)]
    """,
)
_restored(
    "mappingproxy",
    """
    from types import MappingProxyType
    settings = {'depth': 3}
    frozen_settings = MappingProxyType(settings)
    """,
    """
    settings['depth'] = 4
    assert frozen_settings['depth'] == 4
    try:
        frozen_settings['depth'] = 5
    except TypeError:
        pass
    else:
        raise AssertionError('it can be written to')
    """,
)
_restored(
    "SimpleNamespace",
    "from types import SimpleNamespace\nspace = SimpleNamespace(a=1)\nspace.me = space",
    "assert space.a == 1 and space.me is space",
)
_restored(
    "bytearray, array",
    "from array import array\nbuffer, doubles = bytearray(b'abc'), array('d', [1.5, 2.5])\nlarge_buffer = bytearray(100_000)",
    """
    buffer += b'd'
    doubles.append(3.5)
    large_buffer[0] = 1
    large_buffer.append(2)
    assert buffer == b'abcd' and doubles.typecode == 'd' and list(doubles) == [1.5, 2.5, 3.5] and len(large_buffer) == 100_001
    """,
)
_restored(
    "memoryview",
    """
    viewed_bytes = bytearray(b'0123456789')
    part_of_it = memoryview(viewed_bytes)[2:6]
    of_bytes = memoryview(b'fixed')
    as_words = memoryview(bytearray(16)).cast('I')
    """,
    """
    part_of_it[0] = ord('x')
    assert viewed_bytes == b'01x3456789' and bytes(part_of_it) == b'x345' and part_of_it.obj is viewed_bytes
    assert of_bytes.readonly and bytes(of_bytes) == b'fixed' and as_words.format == 'I' and len(as_words) == 4
    """,
)
_restored(
    "range, slice, frozenset",
    "steps, cut, fixed = range(0, 10, 3), slice(1, None, 2), frozenset({1, (2, 3)})",
    "assert list(steps) == [0, 3, 6, 9] and 'abcd'[cut] == 'bd' and fixed == {1, (2, 3)}",
)
_restored(
    "iterators in their middle",
    """
    import itertools
    over_list = iter([1, 2, 3]); next(over_list)
    numbered = enumerate('abc', 5); next(numbered)
    zipped = zip([1, 2], 'xy'); next(zipped)
    mapped = map(abs, [-1, -2]); next(mapped)
    kept = filter(None, [0, 1, 2]); next(kept)
    backwards = reversed([1, 2, 3]); next(backwards)
    over_keys = iter({'a': 1, 'b': 2}); next(over_keys)
    over_text = iter('xyz'); next(over_text)
    over_range = iter(range(5)); next(over_range)
    """,
    """
    assert list(over_list) == [2, 3] and list(numbered) == [(6, 'b'), (7, 'c')] and list(zipped) == [(2, 'y')]
    assert list(mapped) == [2] and list(kept) == [2] and list(backwards) == [2, 1] and list(over_keys) == ['b']
    assert list(over_text) == ['y', 'z'] and list(over_range) == [1, 2, 3, 4]
    """,
)
_restored(
    "itertools in their middle",
    """
    import itertools
    counting = itertools.count(10, 5); next(counting)
    circling = itertools.cycle('ab'); next(circling)
    chained_up = itertools.chain([1], [2, 3]); next(chained_up)
    one_and_other = iter([1, 2, 3])
    left, right = itertools.tee(one_and_other); next(left)
    pairs = itertools.combinations('abc', 2); next(pairs)
    summed = itertools.accumulate([1, 2, 3]); next(summed)
    some = itertools.islice(itertools.count(), 2, 5); next(some)
    repeated = itertools.repeat('x', 3); next(repeated)
    products = itertools.product('ab', [1, 2]); next(products)
    """,
    """
    assert next(counting) == 15 and next(circling) == 'b' and list(chained_up) == [2, 3]
    assert next(left) == 2 and next(right) == 1 and list(pairs) == [('a', 'c'), ('b', 'c')]
    assert list(summed) == [3, 6] and list(some) == [3, 4] and list(repeated) == ['x', 'x'] and next(products) == ('a', 2)
    """,
)
_restored(
    "iterator of a list that is a variable too",
    "shared_list = [1, 2, 3]\nover_shared = iter(shared_list); next(over_shared)",
    "shared_list.append(4)\nassert list(over_shared) == [2, 3, 4]",
)
_restored(
    "regular expressions",
    "import re\npattern = re.compile(r'(?P<word>\\w+)', re.IGNORECASE)",
    "assert pattern.match('Word!')['word'] == 'Word' and pattern.flags & re.IGNORECASE",
)
_restored(
    "match of a regular expression",
    "import re\nmatch = re.search('(b)(?P<last>c)', 'abcd')",
    "assert match.span() == (1, 3) and match['last'] == 'c' and match[1] == 'b' and match.string == 'abcd'",
)
_restored(
    "datetime, timedelta, zoneinfo",
    """
    from datetime import date, datetime, time, timedelta, timezone
    from zoneinfo import ZoneInfo
    zone = ZoneInfo('Europe/Berlin')
    noon = datetime(2024, 3, 31, 12, fold=1, tzinfo=zone)
    span, day, hour = timedelta(days=1, microseconds=5), date(2024, 2, 29), time(1, 2, tzinfo=timezone.utc)
    """,
    """
    assert noon.tzinfo is zone is ZoneInfo('Europe/Berlin') and noon.utcoffset() == timedelta(hours=2) and noon.fold == 1
    assert span == timedelta(days=1, microseconds=5) and day.day == 29 and hour.tzinfo is timezone.utc
    """,
)
_restored(
    "Decimal, Fraction, decimal's context",
    """
    from decimal import Context, Decimal
    from fractions import Fraction
    price, third, precise = Decimal('1.10'), Fraction(1, 3), Context(prec=50)
    """,
    "assert str(price) == '1.10' and third + third + third == 1 and precise.prec == 50",
)
_restored(
    "Path, UUID, IP address",
    """
    import ipaddress, uuid
    from pathlib import Path, PurePosixPath
    where, identity, address = Path('data') / 'x.csv', uuid.UUID(int=5), ipaddress.ip_address('10.0.0.1')
    """,
    "assert where.suffix == '.csv' and isinstance(where, Path) and identity == uuid.UUID(int=5) and address.is_private",
)
_restored(
    "random.Random",
    "import random\nchance = random.Random(7); chance.gauss(0, 1)\nexpected_chance = random.Random(); expected_chance.setstate(chance.getstate())\nexpected_chance = [expected_chance.random(), expected_chance.gauss(0, 1)]",
    "assert [chance.random(), chance.gauss(0, 1)] == expected_chance",
)
_noted(
    "exception that was caught, with its cause and notes",
    "failure",
    """
    try:
        try:
            {}['missing']
        except KeyError as error:
            raise ValueError('bad', 5) from error
    except ValueError as error:
        error.add_note('seen in the loop')
        failure = error
    """,
    """
    assert failure.args == ('bad', 5) and failure.__notes__ == ['seen in the loop'], vars(failure)
    assert type(failure.__cause__) is KeyError and failure.__cause__.args == ('missing',) and failure.__suppress_context__
    """,
    "an exception comes back without its traceback",
)
_restored(
    "exceptions of the notebook, exception groups",
    """
    class OurError(Exception):
        def __init__(self, code):
            super().__init__(f'code {code}')
            self.code = code
    class OurOSError(OSError):
        def __init__(self, path):
            super().__init__(2, 'not there', path)
    our_failure, our_os_error = OurError(3), OurOSError('/x')
    many_failures = ExceptionGroup('several', [ValueError(1), TypeError(2)])
    """,
    """
    assert our_os_error.errno == 2 and our_os_error.filename == '/x' and type(our_os_error) is OurOSError
    assert our_failure.code == 3 and str(our_failure) == 'code 3' and type(our_failure) is OurError
    assert [type(each) for each in many_failures.exceptions] == [ValueError, TypeError]
    """,
)
_restored(
    "contextvars",
    """
    import contextvars
    setting = contextvars.ContextVar('setting', default='plain')
    changed_setting = contextvars.ContextVar('changed_setting')
    token = None
    _ = changed_setting.set('changed')
    """,
    "assert setting.get() == 'plain' and setting.name == 'setting' and changed_setting.get() == 'changed'",
)
_restored(
    "ctypes structures and arrays",
    """
    import ctypes
    class Pair(ctypes.Structure):
        _fields_ = [('left', ctypes.c_int), ('right', ctypes.c_double)]
    pair, numbers_in_c = Pair(1, 2.5), (ctypes.c_int * 3)(1, 2, 3)
    """,
    "assert (pair.left, pair.right) == (1, 2.5) and isinstance(pair, Pair) and list(numbers_in_c) == [1, 2, 3]",
)
_lost(
    "ctypes pointers",
    "pointer",
    "import ctypes\npointed_to = ctypes.c_int(5)\npointer = ctypes.pointer(pointed_to)",
    "pickling it raised ValueError: ctypes objects containing pointers cannot be pickled",
    "assert pointed_to.value == 5",
)
_restored(
    "io.StringIO, io.BytesIO at their position",
    "import io\nin_text, in_bytes = io.StringIO('one\\ntwo'), io.BytesIO(b'12345')\nin_text.readline(); in_bytes.seek(2)",
    "assert in_text.read() == 'two' and in_bytes.read() == b'345' and in_text.getvalue() == 'one\\ntwo'",
)
_restored(
    "ElementTree, email, configparser, argparse",
    """
    import argparse, configparser
    import xml.etree.ElementTree as ElementTree
    from email.message import EmailMessage
    tree = ElementTree.fromstring('<a><b c="1">text</b></a>')
    mail = EmailMessage(); mail['Subject'] = 'Hi'; mail.set_content('text')
    ini = configparser.ConfigParser(); ini.read_string('[part]\\nkey = 1')
    parser = argparse.ArgumentParser(); parser.add_argument('--rate', type=float, default=0.1)
    arguments = parser.parse_args(['--rate', '2'])
    """,
    """
    assert tree.find('b').get('c') == '1' and mail['Subject'] == 'Hi' and ini['part'].getint('key') == 1
    assert parser.parse_args([]).rate == 0.1 and arguments.rate == 2
    """,
)
_restored(
    "weak reference to something that is kept",
    """
    import weakref
    class Target:
        pass
    target = Target()
    weak = weakref.ref(target)
    """,
    """
    assert weak() is target
    import gc
    del target
    gc.collect()
    assert weak() is None
    """,
)
_restored(
    "weak reference to something that is gone",
    """
    import weakref
    class Fleeting:
        pass
    dangling = weakref.ref(Fleeting())
    """,
    "assert dangling() is None",
)
_restored(
    "WeakValueDictionary, WeakKeyDictionary, WeakSet",
    """
    import weakref
    class Entry:
        pass
    entry, other_entry = Entry(), Entry()
    weak_values = weakref.WeakValueDictionary(a=entry, gone=Entry())
    weak_keys = weakref.WeakKeyDictionary({entry: 'kept', Entry(): 'gone'})
    weak_set = weakref.WeakSet([entry, other_entry, Entry()])
    """,
    """
    assert list(weak_values.items()) == [('a', entry)] and weak_values['a'] is entry
    assert dict(weak_keys) == {entry: 'kept'} and set(weak_set) == {entry, other_entry}
    import gc
    del other_entry
    gc.collect()
    assert len(weak_set) == 1
    """,
)
_restored(
    "weakref.proxy, weakref.WeakMethod",
    """
    import weakref
    class Proxied:
        value = 7
        def double(self):
            return 2 * self.value
    proxied = Proxied()
    proxy, weak_method = weakref.proxy(proxied), weakref.WeakMethod(proxied.double)
    """,
    "assert proxy.value == 7 and weak_method()() == 14 and type(proxy).__name__ == 'ProxyType'",
)
_restored(
    "weak proxy of something that is gone",
    """
    import weakref
    class Short_lived:
        pass
    dead_proxy = weakref.proxy(Short_lived())
    """,
    """
    try:
        dead_proxy.x
    except ReferenceError:
        pass
    else:
        raise AssertionError('it is not gone')
    """,
)
