"""Classes of the notebook, and their objects."""

from __future__ import annotations

from .kind import Library

LIBRARY = Library("Python: classes", "python")
_restored, _noted, _lost = LIBRARY.restored, LIBRARY.noted, LIBRARY.lost

_restored(
    "class and its objects",
    """
    class Point:
        count = 0
        def __init__(self, x, y):
            self.x, self.y = x, y
            Point.count += 1
        def __eq__(self, other):
            return isinstance(other, Point) and (self.x, self.y) == (other.x, other.y)
        __hash__ = None
    p = Point(1, 2)
    points = [p, Point(3, 4)]
    """,
    """
    assert type(p) is Point and points[0] is p and p == Point(1, 2) and Point.count == 3
    assert Point.__module__ == '__main__' and isinstance(points[1], Point)
    Point.norm = lambda self: abs(self.x)
    assert p.norm() == 1, 'objects have the class that the name has'
    """,
)
_restored(
    "class hierarchy with super()",
    """
    class Base:
        def __init__(self, **kwargs):
            self.order = ['Base']
    class Left(Base):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.order.append('Left')
    class Right(Base):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.order.append('Right')
    class Bottom(Left, Right):
        def __init__(self):
            super().__init__()
            self.order.append('Bottom')
    bottom_object = Bottom()
    """,
    """
    assert bottom_object.order == Bottom().order == ['Base', 'Right', 'Left', 'Bottom']
    assert Bottom.__mro__ == (Bottom, Left, Right, Base, object)
    """,
)
_restored(
    "nested classes",
    """
    class Outer:
        class Inner:
            class Innermost:
                value = 5
            def make(self):
                return Outer.Inner.Innermost()
    inner_object = Outer.Inner()
    innermost = Outer.Inner.Innermost()
    """,
    """
    assert type(inner_object) is Outer.Inner and type(innermost) is Outer.Inner.Innermost
    assert isinstance(inner_object.make(), Outer.Inner.Innermost) and innermost.value == 5
    """,
)
_restored(
    "class made in a function",
    """
    def make_class(base_value):
        class Local:
            value = base_value
            def get(self):
                return self.value + base_value
            @classmethod
            def make(cls):
                return cls()
            def parent(self):
                return super().__repr__(), __class__
        return Local
    LocalOne, LocalTwo = make_class(1), make_class(2)
    local = LocalOne.make()
    """,
    """
    assert type(local) is LocalOne and LocalOne is not LocalTwo and local.get() == 2 and LocalTwo().get() == 4
    assert local.parent()[1] is LocalOne
    """,
)
_restored(
    "classes that refer to themselves and each other",
    """
    class Node:
        default = None
        def __init__(self, children=()):
            self.children = list(children)
    Node.default = Node()
    Node.registry = {'Node': Node}
    class Tree:
        node_type = Node
    Node.tree_type = Tree
    a_tree = Tree()
    """,
    """
    assert type(Node.default) is Node and Node.registry['Node'] is Node
    assert Tree.node_type is Node and Node.tree_type is Tree and type(a_tree) is Tree
    """,
)
_restored(
    "object of a class that was defined again since",
    """
    class Versioned:
        def version(self):
            return 1
    old = Versioned()
    old_too = Versioned()
    class Versioned:
        def version(self):
            return 2
    new = Versioned()
    """,
    """
    assert old.version() == 1 and new.version() == 2 and type(new) is Versioned
    assert type(old) is type(old_too) is not Versioned
    """,
)
_restored(
    "metaclass",
    """
    class Meta(type):
        made = []
        def __new__(mcs, name, bases, space, tag='none'):
            cls = super().__new__(mcs, name, bases, space)
            cls.tag = tag
            mcs.made.append(name)
            return cls
        def __init__(cls, name, bases, space, tag='none'):
            super().__init__(name, bases, space)
        def shout(cls):
            return cls.__name__.upper()
    class Tagged(metaclass=Meta, tag='special'):
        pass
    class SubTagged(Tagged):
        pass
    tagged = SubTagged()
    """,
    """
    assert type(Tagged) is Meta and Tagged.tag == 'special' and SubTagged.tag == 'none' and Tagged.shout() == 'TAGGED'
    assert Meta.made == ['Tagged', 'SubTagged'] and type(tagged) is SubTagged and issubclass(SubTagged, Tagged)
    """,
)
_restored(
    "__init_subclass__ that registers",
    """
    class Plugin:
        registry = {}
        def __init_subclass__(cls, key=None, **kwargs):
            super().__init_subclass__(**kwargs)
            Plugin.registry[key] = cls
    class CsvPlugin(Plugin, key='csv'):
        pass
    """,
    "assert Plugin.registry == {'csv': CsvPlugin}, Plugin.registry",
)
_restored(
    "abstract class",
    """
    from abc import ABC, abstractmethod
    class Shape(ABC):
        @abstractmethod
        def area(self): ...
        @property
        @abstractmethod
        def name(self): ...
    class Square(Shape):
        def __init__(self, side):
            self.side = side
        def area(self):
            return self.side ** 2
        name = 'square'
    a_square = Square(3)
    class Virtual:
        pass
    Shape.register(Virtual)
    """,
    """
    assert a_square.area() == 9 and isinstance(a_square, Shape) and Shape.__abstractmethods__ == {'area', 'name'}
    try:
        Shape()
    except TypeError:
        pass
    else:
        raise AssertionError('an abstract class can be made')
    assert issubclass(Virtual, Shape)
    """,
)
_restored(
    "dataclass: plain, frozen, with slots, inherited",
    """
    from dataclasses import dataclass, field, replace, fields, asdict, KW_ONLY
    @dataclass
    class Config:
        rate: float = 0.1
        layers: list = field(default_factory=list)
    @dataclass(frozen=True, order=True)
    class Frozen:
        x: int
        y: int = 0
    @dataclass(slots=True)
    class Slotted:
        x: int
        y: list = field(default_factory=list)
    @dataclass(frozen=True, slots=True)
    class FrozenSlotted:
        x: int
    @dataclass
    class Sub(Config):
        _: KW_ONLY
        name: str = 'sub'
    config, frozen, slotted, frozen_slotted, sub = Config(layers=[1]), Frozen(1), Slotted(1), FrozenSlotted(2), Sub(0.5, name='x')
    """,
    """
    assert config == Config(0.1, [1]) and fields(Config)[1].default_factory is list and Config().layers == []
    assert replace(config, rate=1.0).rate == 1.0 and hash(frozen) == hash(Frozen(1)) and frozen < Frozen(2) and {frozen: 1}[Frozen(1)] == 1
    assert slotted == Slotted(1) and not hasattr(slotted, '__dict__') and frozen_slotted == FrozenSlotted(2)
    assert asdict(sub) == {'rate': 0.5, 'layers': [], 'name': 'x'} and repr(sub) == "Sub(rate=0.5, layers=[], name='x')"
    for each in (frozen, frozen_slotted):
        try:
            each.x = 5
        except AttributeError:
            pass
        else:
            raise AssertionError('a frozen one can be changed')
    """,
)
_restored(
    "enum, IntEnum, StrEnum, Flag",
    """
    import enum
    class Colour(enum.Enum):
        RED = 1
        GREEN = 'g'
        CRIMSON = 1
        def shout(self):
            return self.name + '!'
    class Level(enum.IntEnum):
        LOW = enum.auto()
        HIGH = enum.auto()
    class Mode(enum.StrEnum):
        TRAIN = enum.auto()
    class Right_(enum.Flag):
        READ = enum.auto()
        WRITE = enum.auto()
    class Planet(enum.Enum):
        EARTH = (5.9e24, 6.3e6)
        def __init__(self, mass, radius):
            self.mass, self.radius = mass, radius
    red, low, train, both, earth = Colour.RED, Level.LOW, Mode.TRAIN, Right_.READ | Right_.WRITE, Planet.EARTH
    by_colour = {Colour.RED: 'red', Colour.GREEN: 'green'}
    """,
    """
    assert red is Colour.RED is Colour.CRIMSON and red.shout() == 'RED!' and by_colour[red] == 'red' and Colour('g') is Colour.GREEN
    assert list(Colour) == [Colour.RED, Colour.GREEN] and low is Level.LOW and low < Level.HIGH and train is Mode.TRAIN and train == 'train'
    assert Right_.READ in both and both == Right_.READ | Right_.WRITE and earth is Planet.EARTH and earth.mass == 5.9e24
    """,
)
_restored(
    "generic classes",
    """
    from typing import Generic, TypeVar, List, Optional, Union, Callable
    T = TypeVar('T')
    class Box(Generic[T]):
        def __init__(self, item: T) -> None:
            self.item = item
    class IntBox(Box[int]):
        pass
    boxed, int_boxed = Box[str]('x'), IntBox(3)
    alias_type = dict[str, list[int]]
    union_type = Optional[int]
    bar_type = int | str
    """,
    """
    assert boxed.item == 'x' and int_boxed.item == 3 and IntBox.__orig_bases__ == (Box[int],) and Box.__parameters__ == (T,)
    assert boxed.__orig_class__ == Box[str]
    assert alias_type == dict[str, list[int]] and union_type == Optional[int] and bar_type == int | str
    """,
)
_restored(
    "properties, class and static methods, cached properties",
    """
    from functools import cached_property
    class Circle:
        computed = 0
        def __init__(self, radius):
            self._radius = radius
        @property
        def radius(self):
            return self._radius
        @radius.setter
        def radius(self, value):
            self._radius = value
        @classmethod
        def unit(cls):
            return cls(1)
        @staticmethod
        def pi():
            return 3
        @cached_property
        def area(self):
            Circle.computed += 1
            return self.pi() * self._radius ** 2
    circle = Circle(2)
    circle.area
    None
    """,
    """
    circle.radius += 1
    assert circle.radius == 3 and circle.area == 12 and Circle.computed == 1 and Circle.unit().area == 3 and Circle.pi() == 3
    assert isinstance(vars(Circle)['radius'], property) and isinstance(vars(Circle)['pi'], staticmethod)
    """,
)
_restored(
    "descriptors, __slots__, __getattr__",
    """
    class Positive:
        def __set_name__(self, owner, name):
            self.name = '_' + name
        def __get__(self, instance, owner=None):
            return self if instance is None else getattr(instance, self.name)
        def __set__(self, instance, value):
            if value <= 0:
                raise ValueError(value)
            setattr(instance, self.name, value)
    class Account:
        amount = Positive()
        def __init__(self, amount):
            self.amount = amount
    class WithSlots:
        __slots__ = ('a', '__private', '__weakref__')
        def __init__(self, a):
            self.a = a
            self.__private = 'p'
        def private(self):
            return self.__private
    class SubWithSlots(WithSlots):
        __slots__ = ('b', 'never_set')
    class Dynamic:
        def __init__(self):
            self.data = {'x': 1}
        def __getattr__(self, name):
            try:
                return self.data[name]
            except KeyError:
                raise AttributeError(name)
    account, with_slots, dynamic = Account(5), SubWithSlots(1), Dynamic()
    with_slots.b = [2]
    """,
    """
    assert account.amount == 5 and dynamic.x == 1 and (with_slots.a, with_slots.b, with_slots.private()) == (1, [2], 'p')
    assert not hasattr(with_slots, 'never_set') and not hasattr(with_slots, '__dict__')
    try:
        account.amount = -1
    except ValueError:
        pass
    else:
        raise AssertionError('the descriptor does not check')
    """,
)
_restored(
    "namedtuple, NamedTuple, TypedDict, NewType, Protocol",
    """
    from collections import namedtuple
    from typing import NamedTuple, NewType, Protocol, TypedDict, runtime_checkable
    Pixel = namedtuple('Pixel', 'x y', defaults=[0])
    class Row(NamedTuple):
        name: str
        size: int = 1
        def twice(self):
            return self.size * 2
    class Movie(TypedDict, total=False):
        title: str
    UserId = NewType('UserId', int)
    @runtime_checkable
    class Closes(Protocol):
        def close(self) -> None: ...
    class File:
        def close(self):
            pass
    pixel, row, movie, user, file = Pixel(1), Row('a'), Movie(title='x'), UserId(5), File()
    """,
    """
    assert pixel == (1, 0) and type(pixel) is Pixel and pixel._replace(y=2).y == 2 and row.twice() == 2 and row.name == 'a'
    assert type(row) is Row and movie == {'title': 'x'} and Movie.__annotations__['title'] and UserId(5) == user
    assert isinstance(file, Closes) and not isinstance(3, Closes)
    """,
)
_restored(
    "namedtuple that has another name than its class",
    "from collections import namedtuple\nShort = namedtuple('LongName', 'a b')\nshort = Short(1, 2)",
    "assert type(short) is Short and short.b == 2 and repr(short) == 'LongName(a=1, b=2)'",
)
_restored(
    "bound methods",
    """
    class Accumulator:
        def __init__(self):
            self.total = 0
        def add(self, n):
            self.total += n
            return self.total
        @classmethod
        def fresh(cls):
            return cls()
    accumulator = Accumulator()
    add, fresh = accumulator.add, Accumulator.fresh
    callbacks = [accumulator.add]
    """,
    "add(2); callbacks[0](3)\nassert accumulator.total == 5 and add.__self__ is accumulator and type(fresh()) is Accumulator",
)
_restored(
    "subclasses of list, dict, int, str, tuple",
    """
    class Stack(list):
        def top(self):
            return self[-1]
    class Lower(dict):
        def __setitem__(self, key, value):
            super().__setitem__(key.lower(), value)
    class Metres(float):
        unit = 'm'
    class Version(tuple):
        def __new__(cls, text):
            return super().__new__(cls, map(int, text.split('.')))
        def __getnewargs__(self):
            return ('.'.join(map(str, self)),)
    stacked, lowered, metres, a_version = Stack([1, 2]), Lower(), Metres(2.5), Version('1.2')
    stacked.name = 'named'
    lowered['ABC'] = 1
    """,
    "assert stacked.top() == 2 and stacked.name == 'named' and lowered == {'abc': 1} and metres.unit == 'm' and metres == 2.5 and a_version == (1, 2)",
)
_restored(
    "operators, context managers, iteration, callable objects",
    """
    class Vector:
        def __init__(self, *items):
            self.items = items
        def __add__(self, other):
            return Vector(*(a + b for a, b in zip(self.items, other.items)))
        def __iter__(self):
            yield from self.items
        def __len__(self):
            return len(self.items)
        def __call__(self, scale):
            return [scale * item for item in self]
        def __enter__(self):
            return self
        def __exit__(self, *error):
            self.left = True
    v = Vector(1, 2)
    """,
    "with v as entered:\n    assert list(v + v) == [2, 4] and v(3) == [3, 6] and len(v) == 2\nassert v.left",
)
_restored(
    "class with __getstate__ and __setstate__, __reduce__",
    """
    class Cached:
        def __init__(self):
            self.data, self.cache = [1], {'big': 1}
        def __getstate__(self):
            return {'data': self.data, 'cache': self.cache}
        def __setstate__(self, state):
            self.__dict__.update(state)
    class Reduced:
        def __init__(self, a):
            self.a = a
        def __reduce__(self):
            return Reduced, (self.a,)
    cached, reduced = Cached(), Reduced([5])
    """,
    "assert cached.data == [1] and reduced.a == [5] and type(reduced) is Reduced",
)
_noted(
    "class whose pickle comes back different without an error",
    "forgetful",
    """
    class Forgetful:
        def __init__(self):
            self.kept, self.dropped = 1, 'x'
        def __getstate__(self):
            return {'kept': self.kept}
    forgetful = Forgetful()
    """,
    "assert forgetful.kept == 1",
    "it comes back different: forgetful.dropped is missing",
)
_lost(
    "class whose pickle can't be read back",
    "one_way",
    """
    class OneWay:
        def __reduce__(self):
            return OneWay, (1, 2, 3)
    one_way = OneWay()
    """,
    "what is written of it can't be read back: TypeError: OneWay() takes no arguments",
    "assert OneWay.__name__ == 'OneWay'",
)
_restored(
    "exception whose class needs other arguments than it keeps",
    """
    class TwoArguments(Exception):
        def __init__(self, code, text):
            super().__init__(text)
            self.code = code
    two_arguments = TwoArguments(1, 'text')
    """,
    "assert two_arguments.code == 1 and two_arguments.args == ('text',)",
)
_lost(
    "class whose __reduce__ raises",
    "refusing",
    "class Refuses:\n    def __reduce__(self):\n        raise ValueError('never')\nrefusing = Refuses()",
    "pickling it raised ValueError: never",
)
_lost(
    "class whose __reduce__ ends the process",
    "ending",
    "class Ends:\n    def __reduce__(self):\n        raise SystemExit(3)\nending = Ends()",
    "pickling it raised SystemExit",
)
_restored(
    "object with a hash of its own in sets and dictionaries",
    """
    class Key:
        def __init__(self, name):
            self.name = name
        def __hash__(self):
            return hash(self.name)
        def __eq__(self, other):
            return self.name == other.name
    key = Key('k')
    keyed, key_set = {key: 1}, {key, Key('other')}
    """,
    "assert keyed[key] == 1 and key in key_set and Key('other') in key_set and next(iter(keyed)) is key",
)
_restored(
    "source of functions and classes",
    "def documented():\n    return 1 / 0  # here\nclass Documented:\n    def method(self):\n        return 'method'",
    """
    import inspect, traceback
    assert '# here' in inspect.getsource(documented) and "return 'method'" in inspect.getsource(Documented.method)
    try:
        documented()
    except ZeroDivisionError:
        assert '# here' in traceback.format_exc()
    """,
)
