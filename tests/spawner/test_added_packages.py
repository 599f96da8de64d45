import json

from hypothesis import given
from hypothesis import strategies as st

from regrow.spawner.packages import AddedPackages, added_packages, read_list, write_list

STATES = """Package: libtext-charwidth-perl
Architecture: amd64
Auto-Installed: 1

Package: tree
Architecture: amd64
Auto-Installed: 0
"""


def added(path):
    return {"Kind": 1, "Path": path}


def test_packages_are_read_from_the_marks_that_installers_leave():
    changes = [
        added("/var/lib/dpkg/info/tree.list"),
        added("/var/lib/dpkg/info/libfoo1:amd64.list"),
        added("/var/lib/dpkg/info/tree.md5sums"),
        added("/opt/regrow/lib/python3.11/site-packages/polars-1.2.3.dist-info"),
        added("/opt/regrow/lib/python3.11/site-packages/ruamel.yaml-0.18.dist-info"),
        added("/opt/regrow/lib/python3.11/site-packages/scikit_image-0.24.dist-info"),
        added("/opt/regrow/lib/python3.11/site-packages/polars-1.2.3.dist-info/RECORD"),
        added("/home/jovyan/.bashrc"),
    ]
    assert added_packages(changes, "") == AddedPackages(
        apt=("libfoo1", "tree"), pip=("polars", "ruamel.yaml", "scikit-image")
    )


def test_what_came_as_a_dependency_or_was_in_the_image_is_left_out():
    changes = [
        added("/var/lib/dpkg/info/tree.list"),
        added("/var/lib/dpkg/info/libtext-charwidth-perl.list"),
        {"Kind": 0, "Path": "/var/lib/dpkg/info/libc6:amd64.list"},
    ]
    assert added_packages(changes, STATES).apt == ("tree",)


def test_the_list_is_said_in_words():
    assert AddedPackages(("tree",), ("polars", "rich")).in_words() == "apt: tree; pip: polars, rich"
    assert not AddedPackages()


names = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._+-]*\Z")


@given(st.lists(names), st.lists(names))
def test_a_list_is_read_back_as_it_was_written(apt, pip):
    packages = AddedPackages(tuple(sorted(set(apt))), tuple(sorted(set(pip))))
    assert read_list(write_list(packages, "the image has changed")) == packages


@given(st.one_of(st.text(), st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps)))
def test_nothing_that_a_user_puts_into_the_list_does_harm(text):
    packages = read_list(text)
    assert all(not name.startswith("-") and "/" not in name for name in (*packages.apt, *packages.pip))


def test_options_and_shell_text_among_the_names_are_dropped():
    text = json.dumps({"apt": ["tree", "--allow-unauthenticated", "a;reboot"], "pip": ["-rx", "rich", 3]})
    assert read_list(text) == AddedPackages(("tree",), ("rich",))
