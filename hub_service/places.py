"""Where the service's files are, below the deployment's `data_dir` (drawn in docs/architecture.md)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from regrow.spawner.volumes import user_volumes


@dataclass(frozen=True)
class Places:
    """The folders of one deployment. All are the hub's own, and on one filesystem."""

    data_dir: Path

    def make(self) -> None:
        """Make what is missing of them."""
        for folder in (self.repositories, self.layers, self.large, self.trees, self.bin):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def repositories(self) -> Path:
        return self.data_dir / "repositories"

    @property
    def layers(self) -> Path:
        return self.data_dir / "layers"

    @property
    def large(self) -> Path:
        """Large files that layers share."""
        return self.data_dir / "large"

    @property
    def trees(self) -> Path:
        return self.data_dir / "trees"

    @property
    def bin(self) -> Path:
        """Working trees of deleted projects."""
        return self.data_dir / "recycle_bin"

    @property
    def collected(self) -> Path:
        """A file whose time is that of the store's last collection."""
        return self.data_dir / "store_collected"

    def repository(self, project_id: str) -> Path:
        """The bare repository of a project."""
        return self.repositories / f"{project_id}.git"

    def layer_tree(self, layer_id: str) -> Path:
        """The files of a layer."""
        return self.layers / layer_id / "tree"

    def tree(self, project_id: str) -> Path:
        """What a fork's overlay keeps: its changes, and overlayfs's own work."""
        return self.trees / project_id

    def user_id(self, user: str) -> str:
        """What tells a user from one of the same name who was deleted before; "" for one without files yet."""
        return user_volumes(self.data_dir, user).id

    def projects_of(self, user: str) -> Path:
        """A user's `~/projects`."""
        return user_volumes(self.data_dir, user).projects
