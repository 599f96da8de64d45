"""What a project has been: the user's commits and the snapshots beside them, and pictures of how they follow."""

from __future__ import annotations

import html
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from regrow.projects.errors import Damaged
from regrow.projects.git import GitError, git
from regrow.projects.printable import printable
from regrow.projects.shadow import git_folder
from regrow.projects.snapshot import REFS, snapshots

_FORMAT = "%x01%H%x00%P%x00%ct%x00%an%x00%s"
# Of both a light and a dark page; JupyterLab's own where the picture is part of its page.
_INK = "var(--jp-content-font-color1, #808080)"
_LANES = ("#3b82c4", "#d9822b", "#3d9a50", "#b05fc0", "#c94f4f", "#8a8a2a")
_ROW, _LANE, _DOT = 24, 18, 5
_MOST_TITLE = 72
# Of a sans-serif at 12 px; a little too wide is no harm.
_LETTER = 7.5


@dataclass(frozen=True)
class Entry:
    """A commit or a snapshot.

    `kind` is `commit` or `snapshot`; a snapshot has an `id`, a `reason` and, if somebody gave it one, a `name`. `refs`
    are the branches and tags that are at it, and `HEAD`. `graph` is what git draws before it and, further lines, below.
    """

    commit: str
    parents: tuple[str, ...]
    at: datetime
    author: str
    title: str
    kind: str
    id: str = ""
    reason: str = ""
    name: str = ""
    refs: tuple[str, ...] = ()
    graph: tuple[str, ...] = ("*",)


def history(project: Path, most: int = 100) -> list[Entry]:
    """The last `most` of the commits of all branches and the snapshots, the newest first; none before its children.

    Raises `NotAProject`, and `Damaged` where git can't read them.
    """
    git_folder(project)
    try:
        taken = {each.commit: each for each in snapshots(project)}
        refs = _refs(project)
        tips = ["HEAD"] if any("HEAD" in names for names in refs.values()) else []
        # The plumbing: `git log` would heed settings of the project that run programs (gpg).
        output = git(
            project, "rev-list", "--graph", "--date-order", "--encoding=UTF-8", "--no-color",
            f"--max-count={most}", f"--format={_FORMAT}", "--branches", "--remotes", f"--glob={REFS}", *tips, "--",
        )  # fmt: skip
    except GitError as error:
        raise Damaged(
            f"The history of {project} is damaged: {printable(str(error))}. Its files are as they were. Try git fsck."
        ) from None
    found: list[Entry] = []
    heading = ""
    for line in output.decode(errors="replace").removesuffix("\n").split("\n"):
        # Of each entry git writes a line with its name, one in our format, and some that only draw.
        drawn, is_entry, about = line.partition("\x01")
        if not is_entry:
            before, is_heading, _ = line.partition("commit ")
            heading = before if is_heading else heading
            if found and not is_heading and drawn.strip():
                found.append(_with_graph(found.pop(), drawn))
            continue
        commit, parents, seconds, author, title = about.split("\0", 4)
        snapshot = taken.get(commit)
        found.append(
            Entry(
                commit=commit,
                parents=tuple(parents.split()),
                at=snapshot.taken_at if snapshot else _time(seconds),
                author=author,
                title=title,
                kind="snapshot" if snapshot else "commit",
                id=snapshot.id if snapshot else "",
                reason=snapshot.reason if snapshot else "",
                name=snapshot.name if snapshot else "",
                refs=tuple(refs[commit]),
                # The line in our format draws something only where lines part.
                graph=(heading.rstrip(), *([drawn.rstrip()] if set(drawn) & set("/\\") else [])),
            )
        )
    return found


def as_text(entries: Iterable[Entry]) -> str:
    """For a terminal, as `git log --graph`: commits are `*`, snapshots `o`. For the entries that `history` gave."""
    lines = []
    for each in entries:
        first, *below = each.graph
        mark = first.replace("*", "o") if each.kind == "snapshot" else first
        lines.append(f"{mark} {each.commit[:8]} {_when(each)} {_label(each)} - {printable(each.author)}")
        lines += below
    return "\n".join(lines)


def as_svg(entries: Iterable[Entry]) -> str:
    """A picture: a row for each, a lane for each line of descent; snapshots are rings, commits are dots."""
    rows = list(entries)
    dots, lines = _lay_out(rows)
    lanes = {lane for lane, _ in dots.values()} | {line.track for line in lines}
    left = _x(max(lanes, default=0) + 1)
    labels = [_label(each) for each in rows]
    shown = [label if len(label) <= _MOST_TITLE else f"{label[: _MOST_TITLE - 3]}..." for label in labels]
    width = left + max(map(len, shown), default=0) * _LETTER + 140
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{len(rows) * _ROW}" role="img" '
        f'font-family="sans-serif" font-size="12"><title>History</title>'
    ]
    parts += [
        f'<path d="{line.path()}" fill="none" stroke="{_colour(line.track)}" stroke-width="2"/>' for line in lines
    ]
    for each, label in zip(rows, shown, strict=True):
        lane, row = dots[each.commit]
        x, y, colour = _x(lane), _y(row), _colour(lane)
        ring = each.kind == "snapshot"
        inside = 'fill-opacity="0"' if ring else f'fill="{colour}"'
        parts.append(
            f"<g><title>{html.escape(_tooltip(each))}</title>"
            f'<circle cx="{x}" cy="{y}" r="{_DOT}" {inside} stroke="{colour}" stroke-width="2"/>'
            f'<text x="{left}" y="{y + 4}" style="fill: {_INK}"><tspan opacity="0.7">{_when(each)}</tspan> '
            f"{html.escape(label)}</text></g>"
        )
    return "\n".join([*parts, "</svg>"])


def _refs(project: Path) -> defaultdict[str, list[str]]:
    """The names of what points to each commit."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    try:
        at = git(project, "rev-parse", "--verify", "--quiet", "HEAD").decode().strip()
        found[at].append("HEAD")
    except GitError as error:
        if error.status != 1:  # 1 before the first commit
            raise
    form = "%(objectname)%00%(*objectname)%00%(refname:short)"
    output = git(project, "for-each-ref", f"--format={form}", "refs/heads", "refs/remotes", "refs/tags")
    for line in output.decode(errors="replace").splitlines():
        direct, tagged, name = line.split("\0")
        found[tagged or direct].append(name)
    return found


def _with_graph(entry: Entry, drawn: str) -> Entry:
    return Entry(**{**vars(entry), "graph": (*entry.graph, drawn.rstrip())})


def _time(seconds: str) -> datetime:
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):  # git takes years that no calendar has
        return datetime.fromtimestamp(0, UTC)


def _when(entry: Entry) -> str:
    return f"{entry.at:%Y-%m-%d %H:%M}"


def _label(entry: Entry) -> str:
    title = entry.title or "(no message)"
    if entry.kind == "snapshot":
        title = f"{entry.name} (snapshot, {entry.reason})" if entry.name else f"snapshot ({entry.reason})"
    return printable(f"{title} [{', '.join(entry.refs)}]" if entry.refs else title)


def _tooltip(entry: Entry) -> str:
    about = (entry.id or entry.commit, f"{entry.at:%Y-%m-%d %H:%M:%S} UTC", entry.author, entry.name or entry.title)
    return "\n".join(printable(each) for each in about)


@dataclass(frozen=True)
class _Line:
    """From a dot down to the dot of a parent, along the lane `track`. Dots are (lane, row)."""

    child: tuple[int, int]
    track: int
    parent: tuple[int, int]

    def path(self) -> str:
        (lane, row), (end_lane, end_row) = self.child, self.parent
        steps = [f"M{_x(lane)} {_y(row)}"]
        if end_row == row + 1:
            return f"{steps[0]} {_curve(lane, row, end_lane, end_row)}"
        steps.append(_curve(lane, row, self.track, row + 1))
        steps.append(f"L{_x(self.track)} {_y(end_row - 1)}")
        steps.append(_curve(self.track, end_row - 1, end_lane, end_row))
        return " ".join(steps)


def _curve(lane: int, row: int, to_lane: int, to_row: int) -> str:
    middle = (_y(row) + _y(to_row)) / 2
    return f"C{_x(lane)} {middle:g} {_x(to_lane)} {middle:g} {_x(to_lane)} {_y(to_row)}"


def _lay_out(rows: list[Entry]) -> tuple[dict[str, tuple[int, int]], list[_Line]]:
    """Where each dot is, as (lane, row), and the lines between them. Parents that are not shown have none."""
    shown = {each.commit for each in rows}
    lanes: list[str | None] = []  # what each lane leads to, at this row
    dots: dict[str, tuple[int, int]] = {}
    begun: list[tuple[str, int, str]] = []
    for row, each in enumerate(rows):
        lane = lanes.index(each.commit) if each.commit in lanes else _free(lanes)
        lanes[lane] = None
        dots[each.commit] = (lane, row)
        for parent in each.parents:
            if parent in shown:
                track = lanes.index(parent) if parent in lanes else lane if lanes[lane] is None else _free(lanes)
                lanes[track] = parent
                begun.append((each.commit, track, parent))
    return dots, [_Line(dots[child], track, dots[parent]) for child, track, parent in begun if parent in dots]


def _free(lanes: list[str | None]) -> int:
    if None not in lanes:
        lanes.append(None)
    return lanes.index(None)


def _colour(lane: int) -> str:
    return _LANES[lane % len(_LANES)]


def _x(lane: int) -> int:
    return lane * _LANE + _LANE // 2 + 2


def _y(row: int) -> int:
    return row * _ROW + _ROW // 2
