"""The docs keep up with the code: links, commands, magics, settings."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from traitlets import HasTraits
from traitlets.config import Application

import regrow
from regrow.cli.app import SUBCOMMANDS
from regrow.hub_config.reference import reference
from regrow.kernel_magics import usages

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.glob("*.md"))]

_CODE = re.compile(r"^(```|~~~).*?^\1|`[^`\n]*`", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)")
_EXTERNAL = re.compile(r"[a-z][a-z0-9+.-]*:")

# Files that JupyterHub, IPython and Alembic execute with names of their own; there is nothing to import.
_NOT_MODULES = {"jupyterhub_config", "ipython_kernel_config", "__main__", "env"}


def links(page: Path) -> list[str]:
    """The targets of a page's links that are not addresses."""
    return [target for target in _LINK.findall(_CODE.sub("", page.read_text())) if not _EXTERNAL.match(target)]


def headings(page: Path) -> set[str]:
    """What `#...` may follow a page's name, as GitHub makes it of a heading."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    lines = re.findall(r"^#+\s+(.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).strip().replace(" ", "-") for line in lines}


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def all_docs() -> str:
    return "\n".join(page.read_text() for page in PAGES)


def classes_with_settings() -> Iterator[type[HasTraits]]:
    """Every class of ours that has a configurable trait of its own."""
    for module in pkgutil.walk_packages(regrow.__path__, "regrow."):
        if module.name.rpartition(".")[2] in _NOT_MODULES:
            continue
        for _, found in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            ours = found.__module__ == module.name
            if ours and issubclass(found, HasTraits) and found.class_own_traits(config=True):
                yield found


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    lost = []
    for target in links(page):
        path, _, heading = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        if not found.exists() or (heading and found.suffix == ".md" and heading not in headings(found)):
            lost.append(target)
    assert lost == []


def test_every_page_can_be_reached() -> None:
    reached = {
        (page.parent / target.partition("#")[0]).resolve()
        for page in (ROOT / "README.md", DOCS / "architecture.md")
        for target in links(page)
    }
    assert [name(page) for page in DOCS.glob("*.md") if page not in reached] == []


def test_every_command_is_documented() -> None:
    docs = all_docs()
    assert [command for command in SUBCOMMANDS if not re.search(rf"\bregrow {command}\b", docs)] == []


def test_every_magic_and_its_options_are_documented() -> None:
    docs = all_docs()
    missing = [usage.magic for usage in usages.ALL if usage.magic not in docs]
    missing += [
        f"{usage.magic} {option.name}"
        for usage in usages.ALL
        for option in usage.options
        if not re.search(rf"(?<![\w-]){re.escape(option.name)}(?![\w-])", docs)
    ]
    assert missing == []


def test_every_setting_says_what_it_does() -> None:
    silent = [
        f"{owner.__module__}.{owner.__name__}.{trait}"
        for owner in classes_with_settings()
        for trait, kind in owner.class_own_traits(config=True).items()
        if not kind.help.strip()
    ]
    assert silent == []


def test_every_setting_is_documented() -> None:
    """In the reference as `Class.name`; an option of a command, as it is typed."""
    docs = all_docs()
    missing = []
    for owner in classes_with_settings():
        for trait in owner.class_own_traits(config=True):
            typed = f"--{trait.replace('_', '-')}"
            option = issubclass(owner, Application) and re.search(rf"{typed}(?![\w-])", docs)
            if not option and f"{owner.__name__}.{trait}" not in docs:
                missing.append(f"{owner.__module__}.{owner.__name__}.{trait}")
    assert missing == []


def test_the_configuration_page_says_what_the_code_says() -> None:
    made = "python -m regrow.hub_config.reference docs/configuration.md"
    assert (DOCS / "configuration.md").read_text() == reference(), f"make it anew: {made}"
