"""Which names belong together, also where looking at one of them fails."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

import numpy as np

from regrow.state.sharing import definitions, share


class Meta(type):
    """A metaclass whose classes can't be hashed."""

    def __eq__(cls, other: object) -> bool:
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]


class Unhashable(metaclass=Meta):
    """Its objects are like others'."""

    def __init__(self, part: Any) -> None:
        self.part = part


class Closed:
    """Answers nothing, not even what it is."""

    def __getattribute__(self, name: str) -> Any:
        raise ValueError(f"no {name}")


class ClosedMeta(type):
    """A metaclass whose classes answer nothing."""

    def __getattribute__(cls, name: str) -> Any:
        raise RuntimeError("no\nattributes")


class Nameless(metaclass=ClosedMeta):
    """A class that answers nothing."""


def groups(**namespace: Any) -> set[frozenset[str]]:
    """The groups of names, where nothing fails."""
    sharing = share(namespace, namespace)
    assert sharing.failed == {}
    return set(map(frozenset, sharing.groups))


def test_objects_of_a_class_that_can_not_be_hashed_are_looked_at_like_others() -> None:
    part = [1]
    assert groups(a=Unhashable(part), b=[part], c=[2], d=Unhashable([3])) == {
        frozenset("ab"),
        frozenset("c"),
        frozenset("d"),
    }


def test_an_object_that_answers_nothing_costs_nobody_anything() -> None:
    assert groups(a=Closed(), b=[1]) == {frozenset("a"), frozenset("b")}


def test_an_object_that_says_it_is_something_else_is_what_it_is() -> None:
    assert groups(a=MagicMock(spec=np.ndarray), b=[1]) == {frozenset("a"), frozenset("b")}


def test_a_name_that_can_not_be_looked_at_costs_no_other_and_is_told() -> None:
    part = [1]
    namespace = {"a": [Nameless(), [part]], "b": [part], "c": {"x": part}, "d": [2], "e": Nameless}
    sharing = share(namespace, namespace)
    assert {frozenset(group) for group in sharing.groups} == {frozenset("bc"), frozenset("d")}
    assert sharing.failed == dict.fromkeys("ae", "looking at it raised RuntimeError: no")
    assert sharing.found.keys() == set("bcd")


def test_what_a_failed_name_has_seen_already_is_looked_at_again() -> None:
    deep = [1]
    middle = [deep]
    # What is last is looked at first: `middle`, and what fails before what is in it.
    bad = [middle]
    middle.append(Nameless())  # type: ignore[arg-type]
    shared = [[deep]]
    namespace = {"a": [[[Nameless()]], shared], "b": [shared], "c": [deep], "d": bad}
    sharing = share(namespace, namespace)
    assert {frozenset(group) for group in sharing.groups} == {frozenset("bc")}
    assert sharing.failed.keys() == {"a", "d"}


def test_a_class_that_answers_nothing_is_no_definition() -> None:
    assert definitions({"Nameless": Nameless, "x": 1}) == {}
