"""What differs between two states of a project, for a person to read: on a terminal, or on a page."""

from __future__ import annotations

import html
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from regrow.projects.blobs import contents, sizes
from regrow.projects.changes import EXECUTABLE, REGULAR, REPOSITORY, SYMLINK, Change, File, changes, pointers
from regrow.projects.errors import Damaged, NoSuchSnapshot, ProjectError
from regrow.projects.git import GitError, git
from regrow.projects.large_files import LargeFiles
from regrow.projects.notebook_diff import NotANotebook, notebook_diff
from regrow.projects.pointers import Pointer
from regrow.projects.printable import printable
from regrow.projects.scan import LARGE_BYTES
from regrow.projects.snapshot import take

#: Of each file, at most so many lines are shown, and of each line so many characters.
MOST_LINES = 500
MOST_COLUMNS = 1000
# A notebook with pictures is a large file like any other, but is read for what people wrote in it.
_MOST_NOTEBOOK_BYTES = 64 * 1024**2
# How many files are held in memory at once.
_TOGETHER = 50
# git looks for a NUL in as much, and so calls a file binary.
_LOOKED_AT = 8000
_MODES = {REGULAR: "a file", EXECUTABLE: "an executable file", SYMLINK: "a link", REPOSITORY: "a repository"}
_COLOURS = {"+": "\x1b[32m", "-": "\x1b[31m", "@": "\x1b[36m", "#": "\x1b[1m"}
_RESET = "\x1b[0m"
_TAGS = {"+": "ins", "-": "del", "@": "i", "#": "b"}
# The colours of both themes: each on nothing, so that it is the page's own background that is tinted.
_STYLE = """<style>
.regrow-diff pre { overflow-x: auto; margin: 0.3em 0 1em; }
.regrow-diff ins, .regrow-diff del { text-decoration: none; color: inherit; display: inline-block; min-width: 100%; }
.regrow-diff ins { background: rgba(46, 160, 67, 0.25); }
.regrow-diff del { background: rgba(248, 81, 73, 0.25); }
.regrow-diff i { opacity: 0.7; }
</style>"""


@dataclass(frozen=True)
class FileDiff:
    """What has become of the file at `path`.

    `kind` is `added`, `removed` or `changed`; `form` is `text`, `notebook`, `link`, `large`, `binary` or `repository`.
    `before_bytes` and `after_bytes` are its sizes, None where there is none. `notes` are sentences. `lines` are the
    differences; the first character of each says which it is: `+`, `-`, `@` (where), `#` (what), or a space. They have
    no control characters.
    """

    path: str
    kind: str
    form: str
    before_bytes: int | None
    after_bytes: int | None
    notes: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()


def diff(
    project: Path, before: str, after: str | None, paths: tuple[str, ...] = (), files: LargeFiles | None = None
) -> list[FileDiff]:
    """What differs from `before` to `after`, commits or trees: all, or what is at or below `paths`, by path.

    Where `after` is None it is the working tree, of which a snapshot is taken. That needs `files`, and so do the
    differences of notebooks that are large files. Raises `ProjectError`.
    """
    if after is None:
        if files is None:
            raise ProjectError("The working tree can't be looked at without a place for its large files.")
        after = take(project, files, reason="diff").snapshot.commit
    old, new = _tree(project, before), _tree(project, after)
    try:
        found = changes(project, old, new, paths)
        # What they were is what they would lead to the other way round.
        large_before = pointers(project, [Change(each.path, each.after, each.before) for each in found])
        large_after = pointers(project, found)
        blobs = {file.blob for each in found for file in (each.before, each.after) if _is_blob(file)}
        size_of = sizes(project, blobs)
        made = []
        for start in range(0, len(found), _TOGETHER):
            some = found[start : start + _TOGETHER]
            content = _small(project, some, size_of)
            texts = [each for each in some if _is_text(each, content)]
            hunks = _hunks(project, old, new, [each.path for each in texts]) if texts else {}
            for each in some:
                sides = (
                    _Side.of(each.before, large_before.get(each.path), size_of, content),
                    _Side.of(each.after, large_after.get(each.path), size_of, content),
                )
                made.append(_file_diff(each, *sides, hunks, files))
    except GitError as error:
        raise Damaged(f"The history of {project} is damaged: {printable(str(error))}. Try git fsck.") from None
    return made


def as_text(diffs: Iterable[FileDiff], colour: bool) -> str:
    """For a terminal, with its colours or without."""
    lines = []
    for each in diffs:
        heading = f"{each.kind} {printable(each.path)}"
        lines.append(f"{_COLOURS['#']}{heading}{_RESET}" if colour else heading)
        lines += [f"  {note}" for note in each.notes]
        lines += [_coloured(line) if colour else line for line in each.lines]
        lines.append("")
    return "\n".join(lines)


def as_html(diffs: Iterable[FileDiff]) -> str:
    """For a page, of a light or a dark theme."""
    parts = [_STYLE, '<div class="regrow-diff">']
    for each in diffs:
        parts.append(f"<details open><summary>{each.kind} <b>{html.escape(printable(each.path))}</b></summary>")
        parts += [f"<div>{html.escape(note)}</div>" for note in each.notes]
        if each.lines:
            parts.append("<pre>" + "\n".join(_tagged(line) for line in each.lines) + "</pre>")
        parts.append("</details>")
    return "\n".join([*parts, "</div>"])


@dataclass(frozen=True)
class _Side:
    """A file before or after: its size, what it is a pointer to, and its content where that is small."""

    mode: int
    blob: str
    size: int | None
    pointer: Pointer | None
    content: bytes | None

    @classmethod
    def of(cls, file: File, pointer: Pointer | None, size_of: dict[str, int], content: dict[str, bytes]) -> _Side:
        size = pointer.size if pointer else size_of.get(file.blob)
        return cls(file.mode, file.blob, size, pointer, content.get(file.blob))


def _tree(project: Path, wanted: str) -> str:
    try:
        found = git(project, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{wanted}^{{tree}}")
    except GitError:
        raise NoSuchSnapshot(f"There is no snapshot or commit {printable(wanted)!r} in {project}.") from None
    return found.decode().strip()


def _is_blob(file: File) -> bool:
    return file.mode not in (0, REPOSITORY)


def _small(project: Path, some: list[Change], size_of: dict[str, int]) -> dict[str, bytes]:
    blobs = {file.blob for each in some for file in (each.before, each.after)}
    return contents(project, [blob for blob in blobs if size_of.get(blob, LARGE_BYTES + 1) <= LARGE_BYTES])


def _is_text(change: Change, content: dict[str, bytes]) -> bool:
    blobs = [file.blob for file in (change.before, change.after) if file.mode]
    return all(blob in content and b"\0" not in content[blob][:_LOOKED_AT] for blob in blobs)


def _file_diff(
    change: Change, before: _Side, after: _Side, hunks: dict[tuple[str, str], list[str]], files: LargeFiles | None
) -> FileDiff:
    notes = _mode_notes(before, after)
    lines: list[str] = []
    there = [side for side in (before, after) if side.mode]
    if any(side.mode == REPOSITORY for side in there):
        form = "repository"
        notes.append(
            f"A repository of its own{_from_to(*(side.blob[:10] * bool(side.mode) for side in (before, after)))}."
        )
    elif (found := _notebook(change, before, after, files, notes)) is not None:
        form, lines = "notebook", found
    elif any(side.pointer for side in there):
        form = "large"
        notes.append(f"A large file{_from_to(*map(_amount, (before, after)))}.")
    elif any(side.content is None or b"\0" in side.content[:_LOOKED_AT] for side in there):
        form = "binary"
        notes.append(f"A binary file, or too long to compare{_from_to(*map(_amount, (before, after)))}.")
    else:
        form = "link" if all(side.mode == SYMLINK for side in there) else "text"
        lines = _hunks_of(before, after, hunks)
    if len(lines) > MOST_LINES:
        notes.append(f"{len(lines) - MOST_LINES} more lines differ or are near, and are not shown.")
    shown = tuple(map(_cut, lines[:MOST_LINES]))
    return FileDiff(change.path, change.kind, form, before.size, after.size, tuple(notes), shown)


def _mode_notes(before: _Side, after: _Side) -> list[str]:
    modes = (before.mode, after.mode)
    if 0 in modes:
        (mode,) = {*modes} - {0}
        return [f"It {'is' if after.mode else 'was'} {_MODES[mode]}."] if mode in (EXECUTABLE, SYMLINK) else []
    if before.mode == after.mode:
        return []
    return [f"It was {_MODES.get(before.mode, 'a file')}, and is {_MODES.get(after.mode, 'a file')}."]


def _from_to(before: str, after: str) -> str:
    return f", {before} before, {after} now" if before and after else f", {before or after}"


def _amount(side: _Side) -> str:
    if side.size is None:
        return ""
    size, unit = float(side.size), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit} ({side.size} bytes)"


def _notebook(
    change: Change, before: _Side, after: _Side, files: LargeFiles | None, notes: list[str]
) -> list[str] | None:
    """The differences of what people wrote in a notebook; None, with a note on why, where it can't be read as one."""
    if not change.path.endswith(".ipynb") or not all(side.mode in (0, REGULAR, EXECUTABLE) for side in (before, after)):
        return None
    if before.blob == after.blob:
        return []
    try:
        old, new = (_content(side, files) if side.mode else None for side in (before, after))
        lines = notebook_diff(old, new)
    except NotANotebook as error:
        notes.append(f"It is not compared as a notebook: {error}.")
        return None
    if not lines:
        notes.append("Only what running counts differs, or how the file is written.")
    return lines


def _content(side: _Side, files: LargeFiles | None) -> bytes:
    if side.pointer is None:
        if side.content is None:
            raise NotANotebook("it is too long")
        return side.content
    if side.pointer.size > _MOST_NOTEBOOK_BYTES:
        raise NotANotebook("it is too long")
    if files is None or files.missing([side.pointer]):
        raise NotANotebook("its content is not in the store")
    return b"".join(files.content(side.pointer))


def _hunks_of(before: _Side, after: _Side, hunks: dict[tuple[str, str], list[str]]) -> list[str]:
    if before.mode and after.mode and stat.S_IFMT(before.mode) != stat.S_IFMT(after.mode):
        # git says of a file that became a link that the one has gone, and the other come.
        nothing = "0" * len(before.blob)
        return [*hunks.get((before.blob, nothing), []), *hunks.get((nothing, after.blob), [])]
    return hunks.get((before.blob, after.blob), [])


def _hunks(project: Path, before: str, after: str, paths: list[str]) -> dict[tuple[str, str], list[str]]:
    """git's differences of the files at `paths`, by the blobs that they are between."""
    output = git(
        project, "--literal-pathspecs", "diff-tree", "-r", "-p", "--text", "--full-index", "--no-renames", "--no-color",
        "--no-ext-diff", "--no-textconv", before, after, "--", *paths,
        settings=("diff.suppressBlankEmpty=false", f"core.attributesFile={os.devnull}"),
        environment={"GIT_ATTR_NOSYSTEM": "1"},
    )  # fmt: skip
    return dict(_sections(output))


def _sections(output: bytes) -> Iterator[tuple[tuple[str, str], list[str]]]:
    # Lines of files have a sign before them: none can pass for a heading.
    for section in re.split(rb"^diff --git ", output, flags=re.MULTILINE)[1:]:
        heading, at, body = section.partition(b"\n@@ ")
        index = re.search(rb"^index ([0-9a-f]+)\.\.([0-9a-f]+)", heading, re.MULTILINE)
        if index and at:
            text = (b"@@ " + body).removesuffix(b"\n").decode(errors="backslashreplace")
            yield (index[1].decode(), index[2].decode()), [printable(line) for line in text.split("\n")]


def _cut(line: str) -> str:
    more = len(line) - MOST_COLUMNS
    return f"{line[:MOST_COLUMNS]} ... ({more} more characters)" if more > 0 else line


def _coloured(line: str) -> str:
    colour = _COLOURS.get(line[:1])
    return f"{colour}{line}{_RESET}" if colour else line


def _tagged(line: str) -> str:
    tag = _TAGS.get(line[:1])
    return f"<{tag}>{html.escape(line)}</{tag}>" if tag else html.escape(line)
