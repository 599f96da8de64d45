"""The hub's own repositories: bare, made whole or not at all, of packs that forks share."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from regrow.projects.errors import Damaged, Moved
from regrow.projects.git import GitError, git

PUBLISHED = "refs/heads/published"
# The tree of the state that came last. States are not each other's ancestors, and of commits alone git takes for known
# what their ancestors have: by this ref it sends what has changed since.
_LAST_TREE = "refs/regrow/last-tree"
#: The hub's machine may have settings for its people; they are not for these repositories.
NO_SETTINGS = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_ATTR_NOSYSTEM": "1"}
# Content comes from strangers: it is checked when it comes in, stays in the packs that it came in (forks link them),
# and is never held in memory whole where it is large.
_CONFIG = """\
[core]
	repositoryformatversion = 0
	bare = true
	filemode = true
	logAllRefUpdates = false
	hooksPath = /dev/null
	bigFileThreshold = 8m
	fsync = committed
[transfer]
	fsckObjects = true
	unpackLimit = 1
[receive]
	autogc = false
	denyNonFastForwards = false
	advertisePushOptions = false
[gc]
	auto = 0
"""
_REF = re.compile(r"refs/[^\x00-\x20]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_NONE = "0" * 40
_MANY_PACKS = 20
_MANY_REFS = 200
_LINK_AGAIN = 20
_LINK_AGAIN_S = 0.05
_REPACK_LOCK = "repack.lock"
# No push and no repack that still runs is as old.
_LITTER_S = 24 * 3600.0


def create(folder: Path) -> None:
    """Make an empty bare repository. Raises `FileExistsError` where there is one, and `OSError`."""
    with _made(folder):
        pass


def fork(sources: Iterable[Path], refs: dict[str, str], folder: Path) -> None:
    """Make a repository of the packs in the folders `sources`, with `refs` from name to commit.

    The packs are hard links: this takes as long as there are packs, not bytes, and neither repository needs the other.
    So the folders, each an `objects/pack` on the same filesystem, must be the hub's own: who can write a pack there,
    can write it here. Raises `Damaged` where a commit is not in the packs, `FileExistsError` and `OSError`.
    """
    with _made(folder) as new:
        for source in sources:
            _link_packs(source, new / "objects/pack")
        try:
            _update_refs(new, [(ref, commit, _NONE) for ref, commit in refs.items()])
        except GitError as error:
            raise Damaged(f"The fork was not made, because what is forked is damaged: {error}") from error


def refs(folder: Path, prefix: str = "refs/") -> dict[str, str]:
    """The refs below `prefix` (which ends with a slash, or is a whole ref), each with the object it is at."""
    form = "%(refname) %(objectname)"
    output = git(folder, "for-each-ref", f"--format={form}", "--", prefix, environment=NO_SETTINGS)
    return dict(line.split(" ") for line in os.fsdecode(output).splitlines())


def set_ref(folder: Path, ref: str, commit: str | None, expected: str | None) -> None:
    """Have `ref` at `commit` (None: remove it), if it is at `expected` (None: is not there) now.

    Raises `Moved` where it is not, `GitError` where the repository has no such commit, and `ValueError` or `GitError`
    where that can't be a ref.
    """
    try:
        _update_refs(folder, [(ref, commit or _NONE, expected or _NONE)])
    except GitError as error:
        now = refs(folder, ref).get(ref)
        if now == expected:
            raise
        raise Moved(f"{ref} is at {now or 'nothing'}, not at {expected or 'nothing'}. Nothing was changed.") from error


def note_last(folder: Path, commit: str) -> None:
    """Have pushes leave out what `commit` has, whatever they are of. Raises `GitError`."""
    git(folder, "update-ref", _LAST_TREE, f"{commit}^{{tree}}", environment=NO_SETTINGS)


def is_branch(name: str) -> bool:
    """Whether a branch can have that name (git-check-ref-format(1))."""
    try:
        git(Path("/"), "check-ref-format", f"refs/heads/{name}")
    except GitError:
        return False
    return True


def size_bytes(folder: Path) -> int:
    """How many bytes the repository takes by itself: what it shares with others by hard links is not counted."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # pushes make and remove files meanwhile
                status = Path(place, name).lstat()
                total += status.st_size if status.st_nlink == 1 else 0
    return total


def is_scattered(folder: Path) -> bool:
    """Whether pushes, of which each makes a pack and refs, have made so many files that `repack` is worth its time."""
    own = sum(pack.stat().st_nlink == 1 for pack in _packs(folder))
    return own >= _MANY_PACKS or sum(1 for ref in (folder / "refs").rglob("*") if ref.is_file()) >= _MANY_REFS


def repack(folder: Path) -> None:
    """Join small packs and loose refs, so that there are few.

    Safe beside readers, pushes and forks: every object stays, also what no ref needs. Packs that are shared with others
    stay as they are, so that they are on the disk once. Others that repack wait. Raises `GitError`.
    """
    with (folder / _REPACK_LOCK).open("w") as lock:
        # git takes what another repack has half written for a pack of the repository.
        fcntl.flock(lock, fcntl.LOCK_EX)
        shared = [f"--keep-pack={pack.name}" for pack in _packs(folder) if pack.stat().st_nlink > 1]
        git(folder, "repack", "--geometric=2", "-d", "--quiet", *shared, environment=NO_SETTINGS)
        git(folder, "pack-refs", "--all", environment=NO_SETTINGS)


def remove_litter(folder: Path, now: float | None = None) -> None:
    """Remove what git left when it was killed, a day before `now`: half-written files, and locks that nobody holds."""
    oldest = (time.time() if now is None else now) - _LITTER_S
    for pattern in ("objects/tmp_objdir-*", "objects/pack/tmp_*", "objects/pack/.tmp-*", "*.lock", "refs/**/*.lock"):
        for litter in folder.glob(pattern):
            with contextlib.suppress(FileNotFoundError):  # what ends well removes its own
                if litter.name == _REPACK_LOCK or litter.stat().st_mtime >= oldest:
                    continue
                if litter.is_dir():
                    shutil.rmtree(litter)
                else:
                    litter.unlink()


def _packs(folder: Path) -> Iterator[Path]:
    return (folder / "objects/pack").glob("pack-*.pack")


@contextlib.contextmanager
def _made(folder: Path) -> Iterator[Path]:
    """A repository beside `folder`, which takes its name when it is whole."""
    if folder.exists():
        raise FileExistsError(f"{folder} is there already.")
    new = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".new", dir=folder.parent))
    try:
        git(new, "init", "--quiet", "--bare", "--template=", environment=NO_SETTINGS)
        git(new, "symbolic-ref", "HEAD", PUBLISHED, environment=NO_SETTINGS)
        (new / "config").write_text(_CONFIG)
        yield new
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _link_packs(source: Path, target: Path) -> None:
    """Link what is complete in `source`, while a `repack` may put others in place of it."""
    for _ in range(_LINK_AGAIN):
        try:
            for index in source.glob("pack-*.idx"):
                # A pack counts from when it has an index.
                for suffix in (".pack", ".rev", ".idx"):
                    _link(index.with_suffix(suffix), target, optional=suffix == ".rev")
            break
        except FileNotFoundError:
            # git removes a pack before its index, and both at any time between our steps.
            time.sleep(_LINK_AGAIN_S)
    else:
        raise Damaged(f"The packs of {source.parent.parent.name} can't be linked: some have an index and nothing else.")
    for pack in target.glob("pack-*.pack"):
        if not pack.with_suffix(".idx").exists():
            pack.unlink()
            pack.with_suffix(".rev").unlink(missing_ok=True)


def _link(file: Path, target: Path, optional: bool) -> None:
    try:
        if stat.S_ISREG(file.lstat().st_mode):
            (target / file.name).hardlink_to(file)
    except FileExistsError:
        return
    except FileNotFoundError:
        if not optional:
            raise


def _update_refs(folder: Path, updates: list[tuple[str, str, str]]) -> None:
    """Change refs, given as name, new and old object, all or none."""
    for ref, *commits in updates:
        # git itself would write a ref `config` over its settings.
        if not _REF.fullmatch(ref) or not all(map(_COMMIT.fullmatch, commits)):
            raise ValueError(f"{ref!r} can't be set from {commits[1]!r} to {commits[0]!r}.")
    asked = "".join(f"update {ref}\0{new}\0{old}\0" for ref, new, old in updates)
    git(folder, "update-ref", "-z", "--stdin", input=os.fsencode(asked), environment=NO_SETTINGS)
