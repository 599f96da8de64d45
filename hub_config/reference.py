"""Write docs/configuration.md: every trait of Regrow's own, with its default and its help.

`python -m regrow.hub_config.reference docs/configuration.md`; a test fails when the page is behind the code.
"""

from __future__ import annotations

import sys
from inspect import cleandoc
from pathlib import Path

from traitlets.config import Configurable

from regrow.hub_config.auth import RegrowAuthenticator
from regrow.hub_config.deployment import Regrow
from regrow.hub_config.up import UpApp
from regrow.hub_service.settings import HubService
from regrow.spawner.base import RegrowSpawner
from regrow.spawner.container import ContainerSpawner
from regrow.spawner.swarm import RegrowSwarmSpawner

CLASSES: list[type[Configurable]] = [
    Regrow,
    HubService,
    RegrowSpawner,
    ContainerSpawner,
    RegrowSwarmSpawner,
    RegrowAuthenticator,
    UpApp,
]

_HEADER = """# Configuration

Every option of Regrow's own, for `jupyterhub_config.py` (`c.Regrow.data_dir = "/srv/regrow"`, before `configure(c)`).
Options of JupyterHub, DockerSpawner and the authenticator are theirs and work as documented there.
[Setting up a deployment](deployment.md) shows them in use. This page is generated:
`python -m regrow.hub_config.reference docs/configuration.md`.
"""


def reference() -> str:
    """The page as Markdown."""
    sections = [_HEADER]
    for cls in CLASSES:
        sections.append(f"## {cls.__name__}\n\n{cleandoc(cls.__doc__ or '').splitlines()[0]}\n")
        for name, trait in sorted(cls.class_own_traits(config=True).items()):
            sections.append(f"**`{cls.__name__}.{name}`** ({_default(trait)})  \n{_one_line(trait.help)}\n")
    return "\n".join(sections)


def _default(trait: object) -> str:
    value = getattr(trait, "default_value", None)
    kind = type(trait).__name__
    told = isinstance(value, str | int | float | bool | list) and value not in ("", [])
    return f"{kind}, default `{value!r}`" if told else kind


def _one_line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference())
