"""What is said of what differs."""

import json
import random

import pytest

from regrow.projects.diff import MOST_COLUMNS, MOST_LINES, as_html, as_text, diff
from regrow.projects.errors import Damaged, NoSuchSnapshot, ProjectError
from regrow.projects.scan import LARGE_BYTES
from regrow.projects.snapshot import take

HOSTILE = "\x1b[31mred\x07 \u202eevil <script>alert(1)</script> & \x9b0m"


def notebook(*cells, **metadata):
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": cells})


def code(source, name=None, outputs=(), count=None):
    cell = {"cell_type": "code", "source": source, "metadata": {}, "outputs": outputs, "execution_count": count}
    return cell | ({"id": name} if name else {})


def picture(seed):
    data = random.Random(seed).randbytes(3000).hex()
    return {"output_type": "display_data", "data": {"image/png": data}, "metadata": {}}


@pytest.fixture
def changed(project, files):
    """`changed(before, after)`: the differences between two states, each content by path (None: nothing there)."""

    def write(state):
        for path, content in state.items():
            file = project / path
            file.unlink(missing_ok=True)
            if content is None:
                continue
            file.parent.mkdir(exist_ok=True, parents=True)
            file.write_bytes(content if isinstance(content, bytes) else content.encode())

    def run(before, after, **options):
        write(before)
        first = take(project, files).snapshot.commit
        write(after)
        second = take(project, files).snapshot.commit
        return diff(project, first, second, **{"files": files} | options)

    return run


def test_text_is_shown_as_git_shows_it(changed):
    before = "".join(f"{number}\n" for number in range(20))
    (one,) = changed({"a.txt": before}, {"a.txt": before.replace("10\n", "ten\n")})
    assert (one.path, one.kind, one.form) == ("a.txt", "changed", "text")
    assert (one.before_bytes, one.after_bytes) == (50, 51)
    assert one.lines == ("@@ -8,7 +8,7 @@", " 7", " 8", " 9", "-10", "+ten", " 11", " 12", " 13")
    assert as_text([one], colour=False) == "changed a.txt\n" + "\n".join(one.lines) + "\n"


def test_added_and_removed_files_are_shown_whole_and_paths_choose(changed):
    found = changed({"old": "a\n", "sub/x": "1\n"}, {"old": None, "new": "b", "sub/x": "2\n"})
    assert [(each.path, each.kind) for each in found] == [("new", "added"), ("old", "removed"), ("sub/x", "changed")]
    assert found[0].lines == ("@@ -0,0 +1 @@", "+b", "\\ No newline at end of file")
    assert found[1].lines == ("@@ -1 +0,0 @@", "-a")
    assert found[0].before_bytes is None and found[1].after_bytes is None
    chosen = changed({"sub/x": "3\n", "*": "1\n"}, {"sub/x": "4\n", "*": "2\n"}, paths=("*",))
    assert [each.path for each in chosen] == ["*"]


def test_the_users_drivers_and_attributes_change_nothing_and_are_not_run(changed, project, git, tmp_path):
    for key in ("diff.external", "diff.evil.command", "diff.evil.textconv", "core.pager"):
        git(project, "config", key, f"touch {tmp_path}/ran; cat")
    git(project, "config", "diff.suppressBlankEmpty", "true")
    git(project, "config", "diff.noprefix", "true")
    (project / ".gitattributes").write_text("*.txt diff=evil\n*.py -diff\n")
    found = changed({"a.txt": "\n1\n", "a.py": "1\n"}, {"a.txt": "\n2\n", "a.py": "2\n"})
    assert [each.lines for each in found] == [
        ("@@ -1 +1 @@", "-1", "+2"),
        ("@@ -1,2 +1,2 @@", " ", "-1", "+2"),
    ]
    assert not (tmp_path / "ran").exists()


def test_lines_that_look_like_headings_are_only_lines(changed):
    before = "diff --git a/x b/x\n@@ -1 +1 @@\nindex 1..2\n"
    (one,) = changed({"a": before}, {"a": before + "--- a\n"})
    assert one.lines[1:] == (" diff --git a/x b/x", " @@ -1 +1 @@", " index 1..2", "+--- a")


def test_links_modes_and_changes_of_kind_are_said(project, files):
    (project / "link").symlink_to("a")
    (project / "becomes").write_text("a file\n")
    (project / "run").write_text("true\n")
    first = take(project, files).snapshot.commit
    (project / "link").unlink()
    (project / "link").symlink_to("b\nc")
    (project / "becomes").unlink()
    (project / "becomes").symlink_to("elsewhere")
    (project / "run").chmod(0o755)
    becomes, link, run = diff(project, first, take(project, files).snapshot.commit)
    assert becomes.notes == ("It was a file, and is a link.",)
    assert [line for line in becomes.lines if line[0] in "+-"] == ["-a file", "+elsewhere"]
    assert link.form == "link" and [line for line in link.lines if line[0] in "+-"] == ["-a", "+b", "+c"]
    assert run.notes == ("It was a file, and is an executable file.",) and run.lines == ()


def test_a_file_that_becomes_a_folder_is_two_changes(changed):
    found = changed({"a": "1\n"}, {"a": None, "a/b": "1\n", "ab": "2\n"})
    assert [(each.path, each.kind, each.lines[1:]) for each in found] == [
        ("a", "removed", ("-1",)),
        ("a/b", "added", ("+1",)),
        ("ab", "added", ("+2",)),
    ]


def test_a_repository_inside_is_said_with_the_commits_it_was_and_is_at(project, files, git):
    nested = project / "nested"
    nested.mkdir()
    git(nested, "init", "--quiet")
    git(nested, "commit", "--quiet", "--allow-empty", "-m", "one")
    first, old = take(project, files).snapshot.commit, git(nested, "rev-parse", "HEAD")[:10]
    git(nested, "commit", "--quiet", "--allow-empty", "-m", "two")
    (one,) = diff(project, first, take(project, files).snapshot.commit)
    assert one.form == "repository"
    assert one.notes == (f"A repository of its own, {old} before, {git(nested, 'rev-parse', 'HEAD')[:10]} now.",)


def test_large_files_have_sizes_and_no_pointers_are_shown(changed):
    found = changed(
        {"m.bin": b"\1" * (2 * LARGE_BYTES), "s": b"x"},
        {"m.bin": b"\2" * (3 * LARGE_BYTES), "s": b"y" * 2 * LARGE_BYTES},
    )
    assert found[0].form == found[1].form == "large" and found[0].lines == ()
    assert (found[0].before_bytes, found[0].after_bytes) == (2 * LARGE_BYTES, 3 * LARGE_BYTES)
    assert found[0].notes == ("A large file, 2.0 MiB (2097152 bytes) before, 3.0 MiB (3145728 bytes) now.",)
    assert found[1].notes == ("A large file, 1 bytes before, 2.0 MiB (2097152 bytes) now.",)
    assert "oid sha256" not in as_text(found, colour=False)


def test_binary_files_have_sizes(changed):
    (one,) = changed({"a": b"a\0b"}, {"a": b"a\0\x1b[31mc"})
    assert (one.form, one.lines) == ("binary", ())
    assert one.notes == ("A binary file, or too long to compare, 3 bytes before, 8 bytes now.",)


def test_a_users_commit_with_a_large_blob_is_not_read(project, git):
    for content in (b"a\n" * LARGE_BYTES, b"b\n" * LARGE_BYTES):
        (project / "long.txt").write_bytes(content)
        git(project, "add", ".")
        git(project, "commit", "--quiet", "-m", "long")
    (one,) = diff(project, "HEAD~", "HEAD")
    assert (one.form, one.before_bytes, one.lines) == ("binary", 2 * LARGE_BYTES, ())


def test_notebooks_are_compared_by_cell_and_outputs_are_only_counted(changed):
    before = notebook(code("a = 1\nb = 2\nc = 3", "x", [picture(1)], 1), code("gone", "y"), code("same", "z", count=3))
    after = notebook(
        code("a = 1\nb = 4\nc = 3", "x", [picture(2), picture(3)], 7), code("same", "z", count=9), code("new", "n"),
        kernelspec={"name": "python3"},
    )  # fmt: skip
    (one,) = changed({"n.ipynb": before}, {"n.ipynb": after})
    assert one.form == "notebook"
    text = as_text([one], colour=False)
    for wanted in (
        "-  b = 2",
        "+  b = 4",
        "+      new",
        "-      gone",
        "-  1 output: image/png [",
        "+  2 outputs: image/png; image/png [",
    ):
        assert wanted in one.lines or any(line.startswith(wanted) for line in one.lines), text
    assert "kernelspec" in text
    assert "same" not in text and picture(2)["data"]["image/png"][:20] not in text and "execution_count" not in text


def test_a_notebook_that_was_only_run_again_says_so(changed):
    cells = [(code("x", "a", [picture(1)], count), code("y", "b")) for count in (1, 2)]
    (one,) = changed({"n.ipynb": notebook(*cells[0])}, {"n.ipynb": notebook(*cells[1])})
    assert one.lines == () and one.notes == ("Only what running counts differs, or how the file is written.",)


def test_added_and_removed_notebooks_are_shown_by_cell(changed):
    added, removed = changed(
        {"old.ipynb": notebook(code("one\ntwo"))}, {"old.ipynb": None, "new.ipynb": notebook(code("three"))}
    )
    assert "+      three" in added.lines and "-      two" in removed.lines


def test_a_notebook_that_is_a_large_file_is_compared_all_the_same(changed, project, store):
    outputs = [picture(seed) for seed in range(LARGE_BYTES // 6000 + 50)]
    states = [{"n.ipynb": notebook(code(source, "x", outputs))} for source in ("lr = 1", "lr = 2")]
    (one,) = changed(*states)
    assert one.form == "notebook" and one.before_bytes > LARGE_BYTES
    assert one.lines[1:] == ("-  lr = 1", "+  lr = 2")
    (one,) = changed(states[0], states[1], files=None)
    assert one.form == "large" and one.notes[0] == "It is not compared as a notebook: its content is not in the store."


@pytest.mark.parametrize(
    "broken",
    [
        "{", "[]", '{"nbformat": 3}', "[" * 100_000, '{"nbformat": 4, "cells": [{"cell_type": "x"}]}',
        '{"nbformat": 4, "cells": [{"cell_type": "code", "source": 5}]}', "<<<<<<< ours",
    ],
)  # fmt: skip
def test_a_notebook_that_is_broken_is_compared_as_text_with_a_note(changed, broken):
    (one,) = changed({"n.ipynb": notebook(code("x"))}, {"n.ipynb": f"{broken}\n"})
    assert one.form == "text" and f"+{broken}"[:MOST_COLUMNS] in {line[:MOST_COLUMNS] for line in one.lines}
    (note,) = one.notes
    assert note.startswith("It is not compared as a notebook: it ")


def test_a_notebook_in_which_all_has_changed_is_not_compared_for_minutes(changed):
    words = random.Random(1)

    def state():
        cells = ["\n".join("".join(words.choices("abcd ", k=40)) for _ in range(15)) for _ in range(290)]
        return {"n.ipynb": notebook(*map(code, cells))}

    (one,) = changed(state(), state())
    assert one.form == "notebook" and len(one.lines) == MOST_LINES
    many = {"n.ipynb": notebook(*[code(f"{number}") for number in range(400)])}
    (one,) = changed({"n.ipynb": notebook(code("x"))}, many)
    assert one.form == "text" and "too long to be compared cell by cell" in one.notes[0]


def test_what_is_long_is_cut_and_that_is_said(changed):
    (one,) = changed({"a": ""}, {"a": "x\n" * (MOST_LINES + 99) + "y" * 5000 + "\n"})
    assert len(one.lines) == MOST_LINES
    assert one.notes == ("101 more lines differ or are near, and are not shown.",)
    (one,) = changed({"b": ""}, {"b": "y" * 5000})
    assert one.lines[1] == "+" + "y" * (MOST_COLUMNS - 1) + f" ... ({5001 - MOST_COLUMNS} more characters)"


def test_nothing_hostile_gets_to_a_terminal_or_a_page(changed):
    path = f"x{HOSTILE}".replace("/", "|")
    cell = {"cell_type": "code", "source": HOSTILE + "\u2028\x0b\r", "id": HOSTILE, "metadata": {HOSTILE: 1}}
    cell |= {"outputs": [{"output_type": HOSTILE}], "attachments": {HOSTILE: 1}}
    found = changed(
        {"n.ipynb": notebook(), "bytes": b"plain\n"},
        {path: HOSTILE, "n.ipynb": notebook(cell, **{HOSTILE: 1}), "bytes": b"\xff\xfe \x00"[:3] + b"\r\n"},
    )
    assert {each.form for each in found} == {"text", "notebook"}
    text, page = as_text(found, colour=False), as_html(found)
    for shown in (text, page):
        assert {c for c in shown if not c.isprintable()} == {"\n"}
    assert "\\x1b[31mred\\x07 \\u202eevil" in text
    assert "+\\xff\\xfe \\r" in text.splitlines()
    assert "<script" not in page and "&lt;script&gt;" in page
    coloured = as_text(found, colour=True)
    assert {coloured[at : at + 5] for at, c in enumerate(coloured) if c == "\x1b"} <= {
        "\x1b[32m", "\x1b[31m", "\x1b[36m", "\x1b[1mc", "\x1b[1ma", "\x1b[1m#", "\x1b[0m\n", "\x1b[0m",
    }  # fmt: skip


def test_additions_are_green_and_removals_red(changed):
    found = changed({"a": "1\n"}, {"a": "2\n"})
    assert "\x1b[31m-1\x1b[0m" in as_text(found, colour=True) and "\x1b[32m+2\x1b[0m" in as_text(found, colour=True)
    assert "<del>-1</del>" in as_html(found) and "<ins>+2</ins>" in as_html(found)


def test_the_working_tree_is_compared_as_a_snapshot_of_it(project, files):
    (project / "a").write_text("1\n")
    first = take(project, files).snapshot.commit
    (project / "a").write_text("2\n")
    (one,) = diff(project, first, None, files=files)
    assert one.lines[1:] == ("-1", "+2")
    with pytest.raises(ProjectError, match="without a place for its large files"):
        diff(project, first, None)


@pytest.mark.parametrize("wanted", ["nothing", "--output=x", "-p", "", "HEAD\x1b[31m", "0" * 40])
def test_a_state_that_is_not_there_is_said_and_no_option(wanted, project, files):
    (project / "a").write_text("1\n")
    first = take(project, files).snapshot.commit
    with pytest.raises(NoSuchSnapshot, match="There is no snapshot or commit") as caught:
        diff(project, first, wanted)
    assert str(caught.value).isprintable()
    assert {each.name for each in project.iterdir()} == {".git", "a"}


def test_a_project_that_lost_objects_is_damaged(project, files, git):
    (project / "a").write_text("1\n")
    first = take(project, files).snapshot.commit
    (project / "a").write_text("2\n")
    second = take(project, files).snapshot.commit
    blob = git(project, "rev-parse", f"{second}:a").strip()
    (project / ".git/objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(Damaged, match=f"The history of {project} is damaged"):
        diff(project, first, second)
