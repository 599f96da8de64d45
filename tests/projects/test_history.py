"""Commits and snapshots as one history, and the pictures of it."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from regrow.projects.errors import Damaged, NotAProject
from regrow.projects.history import as_svg, as_text, history
from regrow.projects.snapshot import take

SVG = "{http://www.w3.org/2000/svg}"
NOW = 1_700_000_000.0


@pytest.fixture
def commit(project, git, monkeypatch):
    """`commit(seconds, message)` at that time; returns its name."""

    def run(seconds, message, *arguments):
        for role in ("AUTHOR", "COMMITTER"):
            monkeypatch.setenv(f"GIT_{role}_DATE", f"{int(NOW) + seconds} +0000")
        git(project, *(arguments or ("commit",)), "--quiet", "-m", message, *([] if arguments else ["--allow-empty"]))
        return git(project, "rev-parse", "HEAD").strip()

    return run


@pytest.fixture
def rich(project, git, files, commit):
    """Two branches that were merged, one that was not, and snapshots; the names of its entries, oldest first."""
    root = commit(0, "root")
    (project / "a").write_text("1")
    snapshot = take(project, files, name="before the rewrite", now=lambda: NOW + 10).snapshot
    git(project, "switch", "--quiet", "-c", "side")
    side = commit(20, "on the side")
    git(project, "switch", "--quiet", "main")
    main = commit(30, "on main")
    merged = commit(40, "both", "merge", "--no-ff", "side")
    git(project, "tag", "-m", "first", "v1")
    git(project, "switch", "--quiet", "-c", "other", root)
    other = commit(50, "not merged")
    git(project, "switch", "--quiet", "main")
    (project / "a").write_text("2")
    last = take(project, files, reason="timer", now=lambda: NOW + 60).snapshot
    return [root, snapshot.commit, side, main, merged, other, last.commit]


def test_commits_of_all_branches_and_snapshots_are_one_history_the_newest_first(project, rich):
    found = history(project)
    assert [each.commit for each in found] == rich[::-1]
    by_commit = {each.commit: each for each in found}
    root, snapshot, side, main, merged, other, last = (by_commit[each] for each in rich)
    assert [each.kind for each in found] == ["snapshot", *["commit"] * 4, "snapshot", "commit"]
    assert (snapshot.name, snapshot.reason, last.name, last.reason) == ("before the rewrite", "hand", "", "timer")
    assert snapshot.id.startswith("2023") and merged.id == merged.name == merged.reason == ""
    assert merged.parents == (main.commit, side.commit) and root.parents == ()
    assert last.parents == (snapshot.commit, merged.commit)
    assert (merged.author, merged.title) == ("Ada", "both")
    assert merged.at.timestamp() == NOW + 40 and last.at.timestamp() == NOW + 60
    assert set(merged.refs) == {"HEAD", "main", "v1"} and other.refs == ("other",) and root.refs == ()


def test_a_project_without_a_commit_has_no_history_and_no_more_than_asked_for_is_given(project, rich, tmp_path, git):
    assert [each.commit for each in history(project, most=2)] == rich[:-3:-1]
    empty = tmp_path / "empty"
    git(tmp_path, "init", "--quiet", "empty")
    assert history(empty) == [] and as_text([]) == ""
    ElementTree.fromstring(as_svg([]))


def test_commits_at_no_branch_are_in_it_where_the_user_is_at_them(project, git, commit):
    commit(0, "first")
    git(project, "checkout", "--quiet", "--detach")
    commit(10, "at no branch")
    assert [(each.title, each.refs) for each in history(project)] == [("at no branch", ("HEAD",)), ("first", ("main",))]


def test_the_text_draws_how_they_follow_as_git_does(project, rich, git):
    text = as_text(history(project))
    shown = ["--graph", "--date-order", "--abbrev=8", "--format=%h", "--branches", "--glob=refs/regrow/snapshots"]
    drawn = [re.sub(" +([0-9a-f]{8})$", r" \1", line.rstrip()) for line in git(project, "log", *shown).splitlines()]
    assert [re.sub("( [0-9a-f]{8}) .*", r"\1", line).replace("o", "*") for line in text.splitlines()] == drawn
    assert "2023-11-14 22:14 both [HEAD, main, v1] - Ada" in text
    (named,) = [line for line in text.splitlines() if "before the rewrite (snapshot, hand)" in line]
    assert "o" in named.split(rich[1][:8])[0]


def test_the_picture_has_a_dot_and_a_tooltip_for_each_and_a_line_for_each_parent(project, rich):
    found = history(project)
    picture = ElementTree.fromstring(as_svg(found))
    dots = list(picture.iter(f"{SVG}circle"))
    assert len(dots) == len(found)
    assert len({(dot.get("cx"), dot.get("cy")) for dot in dots}) == len(found)
    assert len(list(picture.iter(f"{SVG}path"))) == sum(len(each.parents) for each in found)
    tooltips = [group.find(f"{SVG}title").text for group in picture.iter(f"{SVG}g")]
    assert rich[4] in tooltips[2] and "Ada" in tooltips[2]
    # The ends of each line are at the dots of a commit and of its parent.
    at = {each.commit: f"{dot.get('cx')} {dot.get('cy')}" for each, dot in zip(found, dots, strict=True)}
    ends = {
        (path.get("d").split(" C")[0].lstrip("M"), " ".join(path.get("d").split()[-2:]))
        for path in picture.iter(f"{SVG}path")
    }
    assert ends == {(at[each.commit], at[parent]) for each in found for parent in each.parents}


def test_no_line_runs_through_the_dot_of_another(project, git, commit):
    root = commit(0, "root")
    for number in range(6):
        git(project, "switch", "--quiet", "-c", f"branch-{number}", root if number % 2 else "HEAD")
        commit(10 + number * 7 % 5, f"a {number}")
        commit(20 + number * 3 % 7, f"b {number}")
    commit(50, "merge", "merge", "--no-ff", "branch-1", "branch-3")
    found = history(project)
    picture = ElementTree.fromstring(as_svg(found))
    dots = {(float(dot.get("cx")), float(dot.get("cy"))) for dot in picture.iter(f"{SVG}circle")}
    for path in picture.iter(f"{SVG}path"):
        points = path.get("d").replace("M", " ").replace("C", " ").replace("L", " ").split()
        if "L" not in path.get("d"):
            continue
        column, top = float(points[6]), float(points[7])
        bottom = float(path.get("d").split("L")[1].split()[1])
        assert not [dot for dot in dots if dot[0] == column and top <= dot[1] <= bottom]


def test_hostile_titles_and_names_are_escaped(project, files, git, commit):
    hostile = "\x1b[31m</title><script>alert(1)</script>&\u202e\x01"
    git(project, "config", "user.name", hostile)
    commit(0, hostile)
    (project / "a").write_text("x")
    take(project, files, name="<b>&\u202e", now=lambda: NOW + 10)
    found = history(project)
    assert [each.title for each in found][1] == hostile
    text, picture = as_text(found), as_svg(found)
    for shown in (text, picture):
        assert {c for c in shown if not c.isprintable()} <= {"\n"}
    ElementTree.fromstring(picture)
    assert "<script" not in picture and "<b>" not in picture


def test_settings_of_the_project_run_nothing(project, rich, git, tmp_path):
    git(project, "config", "log.showSignature", "true")
    git(project, "config", "gpg.program", f"touch {tmp_path}/ran")
    git(project, "config", "core.pager", f"touch {tmp_path}/ran")
    git(project, "config", "log.mailmap", "true")
    assert len(history(project)) == len(rich)
    assert not (tmp_path / "ran").exists()


def test_a_project_that_lost_a_commit_is_damaged_and_named(project, rich):
    lost = rich[0]
    (project / ".git/objects" / lost[:2] / lost[2:]).unlink()
    with pytest.raises(Damaged, match=f"The history of {project} is damaged: .* Try git fsck"):
        history(project)


def test_a_branch_that_leads_to_nothing_is_damage_too(project, rich):
    (project / ".git/refs/heads/side").write_text("1" * 40 + "\n")
    with pytest.raises(Damaged, match="is damaged"):
        history(project)


def test_a_folder_that_is_no_project_is_said(tmp_path):
    with pytest.raises(NotAProject):
        history(tmp_path)
