"""What each command does and says, and what it refuses."""

import re
import subprocess

import pytest

from regrow.client.commands import REFUSALS
from regrow.client.errors import OptionError
from regrow.client.hub import HubError
from regrow.projects.errors import NoSuchSnapshot, NotAProject, ProjectError
from regrow.projects.restore import find
from regrow.projects.snapshot import snapshots

from support.service import own, state

MIB = 1024 * 1024
FILES = {"train.py": b"print(1)\n", "data/a.csv": b"1,2\n", "model.bin": b"\1" * (2 * MIB)}


@pytest.fixture
def faces(new_project):
    return new_project("ada", "faces", FILES)


@pytest.fixture
def pair(faces, command):
    """ada's published project, and bob's fork of it."""
    command("ada", "project publish", "faces")
    command("bob", "fork ada/faces as mine")
    return faces


def write(hub, user, path, content):
    file = hub.projects(user) / path
    file.write_text(content)
    own(file)


def offer_id(said):
    return re.search(r"offer ([0-9a-f]{8})", said.text)[1]


# Listing


def test_a_list_has_ones_own_projects_and_on_request_what_others_publish(pair, command, new_project):
    new_project("bob", "secret")
    header, mine = command("ada", "project list").text.splitlines()
    assert header.split() == ["project", "seen", "by", "fork", "of", "changed", "(UTC)", "here", "about"]
    assert re.fullmatch(r"faces +hub +[0-9-]{10} [0-9:]{5} +yes", mine)
    everything = command("ada", "project list --all").text
    assert "ada/faces" in everything and "secret" not in everything and "bob/mine" not in everything
    bobs = command("bob", "project list").text
    assert re.search(r"^mine +private +ada/faces ", bobs, re.MULTILINE)
    assert "no project with all of these words: cats" in command("bob", "project list --all cats").text


def test_who_has_no_project_is_told_how_to_make_one(command):
    assert command("ada", "project list").text == "There is no project yet. `%project create NAME` makes one."


def test_what_strangers_write_acts_neither_on_a_terminal_nor_on_a_page(hub, faces, command):
    with hub.client("ada") as client:
        client.create("trap", "<script>alert(1)</script>\u202eboo")
        client.publish("ada", "faces", {"visibility": "private"}, lambda message: None)
    said = command("ada", "project list")
    assert "<script>" not in said.html and "&lt;script&gt;" in said.html
    assert "\u202e" not in said.text + said.html and "\\u202eboo" in said.text


# Making


def test_a_project_is_made_of_a_template_a_folder_or_a_repository(hub, command, tmp_path):
    said = command("ada", "project create one --description 'The first'")
    assert "ada/one is a project of yours now. Nobody else sees it." in said.text
    assert f"`%cd {hub.projects('ada') / 'one'}`" in said.text
    assert 'href="/user/ada/lab/tree/projects/one"' in said.html
    assert (hub.projects("ada") / "one/notebook.ipynb").exists()
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.txt").write_text("a")
    command("ada", f"project create two --folder {source}")
    assert (hub.projects("ada") / "two/a.txt").read_text() == "a"
    command("ada", f"project create three --git file://{hub.projects('ada') / 'two'}")
    assert (hub.projects("ada") / "three/a.txt").read_text() == "a"
    assert "The first" in command("ada", "project list").text


def test_a_repository_becomes_a_project_where_it_is(hub, command):
    folder = hub.projects("ada") / "old"
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    own(folder)
    with pytest.raises(ProjectError, match=r"not yet a project of this hub. `%project create old --here`"):
        command("ada", "project snapshot", "old")
    command("ada", "project create --here", "old")
    with pytest.raises(ProjectError, match="old is a project already: ada/old"):
        command("ada", "project create old --here")
    (hub.projects("ada") / "plain").mkdir()
    with pytest.raises(NotAProject, match="is no git repository"):
        command("ada", "project create plain --here")


def test_a_project_that_cannot_be_made_leaves_nothing(hub, faces, command):
    for line, words in (
        ("project create faces", "already"),
        ("project create a/b", "can't be a project's name"),
        ("project create new --template none", "There is no template 'none'"),
        ("project create new --folder /nowhere", "is not a folder"),
        ("project create new --git ext::sh", "A repository's address begins with"),
    ):
        with pytest.raises(REFUSALS, match=words):
            command("ada", line)
    assert command("ada", "project list").text.count("\n") == 1
    assert [each.name for each in hub.projects("ada").iterdir()] == ["faces"]


# Opening


def test_opening_says_where_a_project_is(faces, command):
    said = command("ada", "project open faces")
    assert f"ada/faces is here.\nIts files: `%cd {faces.folder}`" in said.text
    assert 'href="/user/ada/lab/tree/projects/faces"' in said.html


def test_opening_brings_a_project_that_this_server_does_not_have(hub, faces, command, acting):
    command("ada", "project snapshot", "faces")
    before = state(faces.folder)
    faces.folder.rename(hub.projects("ada").parent / "elsewhere")
    assert "as its last snapshot has it" in command("ada", "project open ada/faces").text
    assert state(faces.folder) == before
    status = subprocess.run(["git", "status", "--porcelain"], cwd=faces.folder, capture_output=True, text=True)
    assert {line.split()[1] for line in status.stdout.splitlines()} == {"data/", "model.bin", "train.py"}
    write(hub, "ada", "faces/train.py", "print(2)\n")
    assert "is taken, and the hub has it" in command("ada", "project snapshot", "faces").text


def test_what_cannot_be_opened_is_said(hub, pair, command):
    with pytest.raises(ProjectError, match=r"ada/faces is ada's. `%fork ada/faces` makes a project of your own"):
        command("bob", "project open ada/faces")
    with pytest.raises(HubError, match="There is no project bob/none"):
        command("bob", "project open none")
    with hub.client("bob") as client:
        client.create("empty")
    with pytest.raises(ProjectError, match="no snapshot of bob/empty yet"):
        command("bob", "project open empty")
    assert not (hub.projects("bob") / "empty").exists()


def test_names_that_lead_elsewhere_are_none(command):
    for name in ("ada/..", "../x", "/x", "a/b/c", "ada/", ""):
        with pytest.raises(ProjectError, match="can't be a project's name"):
            command("ada", f"project delete '{name}'")


# Publishing


def test_publishing_says_who_sees_it_and_what_they_type(hub, faces, command):
    hub.sign_in.groups = {"ada": {"vision"}, "bob": {"vision"}}
    said = command("ada", "project publish", "faces").text
    assert "Everybody on this hub sees it" in said and "`%fork ada/faces`" in said
    assert snapshots(faces.folder)[0].id in said
    assert "The members of vision see it" in command("ada", "project publish --team vision", "faces").text
    assert "ada/faces" in command("bob", "project list --all").text
    public = command("ada", "project publish --public", "faces").text
    assert "also without signing in" in public and "/services/regrow/projects/ada/faces" in public
    assert "Nobody but you sees ada/faces any more" in command("ada", "project publish --private", "faces").text
    assert "There is no project" in command("bob", "project list --all").text


def test_publishing_to_a_group_that_one_is_not_in_is_refused(faces, command):
    with pytest.raises(HubError, match="You are in no group 'vision'"):
        command("ada", "project publish --team vision", "faces")
    with pytest.raises(OptionError, match="--private and --public don't go together"):
        command("ada", "project publish --public --private", "faces")


def test_what_a_publication_does_not_have_is_warned_of(faces, command):
    subprocess.run(["git", "init", "--quiet", str(faces.folder / "nested")], check=True)
    own(faces.folder)
    assert "Warning: nested is a repository without a commit" in command("ada", "project publish", "faces").text


# Snapshots


def test_snapshots_are_taken_named_and_not_taken_twice(hub, faces, command):
    said = command("ada", "project snapshot 'before the rewrite'", "faces").text
    (taken,) = snapshots(faces.folder)
    assert said == f"The snapshot {taken.id}, 'before the rewrite' of ada/faces is taken, and the hub has it."
    assert "Nothing has changed since the snapshot" in command("ada", "project snapshot", "faces").text
    with hub.client("ada") as client:
        assert [each["id"] for each in client.snapshots("ada", "faces")] == [taken.id]
    with pytest.raises(OptionError, match="A name of several words needs quotes"):
        command("ada", "project snapshot before the rewrite", "faces")


def test_history_is_a_picture_and_a_text(faces, command):
    command("ada", "project snapshot first", "faces")
    said = command("ada", "project history", "faces")
    assert "first (snapshot, hand)" in said.text and said.html.startswith("<svg")


def test_a_diff_is_of_the_last_snapshot_and_the_files_and_leaves_no_trace(hub, faces, command):
    with pytest.raises(NoSuchSnapshot, match=r"`%project snapshot` takes one"):
        command("ada", "project diff", "faces")
    command("ada", "project snapshot first", "faces")
    assert "Nothing differs between the snapshot 'first'" in command("ada", "project diff", "faces").text
    write(hub, "ada", "faces/train.py", "print(2)\n")
    write(hub, "ada", "faces/data/a.csv", "3,4\n")
    for _ in range(2):
        said = command("ada", "project diff", "faces")
        assert "-print(1)" in said.text and "+print(2)" in said.text and "<ins>+print(2)</ins>" in said.html
    assert [each.name for each in snapshots(faces.folder)] == ["first"]
    only = command("ada", "project diff first -- data", "faces").text
    assert "data/a.csv" in only and "train.py" not in only
    command("ada", "project snapshot second", "faces")
    write(hub, "ada", "faces/train.py", "print(3)\n")
    between = command("ada", "project diff first second", "faces").text
    assert "+print(2)" in between and "print(3)" not in between
    with pytest.raises(ProjectError, match="outside of ada/faces"):
        command("ada", "project diff -- ../other", "faces")


def test_files_come_back_as_they_were_and_what_was_there_is_kept(hub, faces, command):
    command("ada", "project snapshot first", "faces")
    before = state(faces.folder)
    write(hub, "ada", "faces/train.py", "print(2)\n")
    write(hub, "ada", "faces/new.txt", "new")
    some = command("ada", "project restore first -- ./train.py", "faces").text
    assert some.startswith("Written (1):\n  train.py\n") and (faces.folder / "new.txt").exists()
    (faces.folder / "model.bin").unlink()
    said = command("ada", "project restore first", "faces").text
    assert "Written (1):\n  model.bin" in said and "Removed (1):\n  new.txt" in said
    assert state(faces.folder) == before
    undo = re.search(r"`%(project restore \S+)` brings it back", said)[1]
    command("ada", undo, "faces")
    assert (faces.folder / "new.txt").read_text() == "new" and not (faces.folder / "model.bin").exists()
    assert find(faces.folder, "first")
    for line, words in (("none", "There is no snapshot 'none'"), ("first -- none.py", "has no none.py")):
        with pytest.raises(NoSuchSnapshot, match=words):
            command("ada", f"project restore {line}", "faces")


# Deleting


def test_what_is_deleted_is_in_the_recycle_bin_and_comes_back(hub, faces, command):
    before = state(faces.folder)
    said = command("ada", "project delete faces").text
    assert "`%project undelete faces` takes it out again" in said
    assert not faces.folder.exists()
    listed = command("ada", "project list --deleted").text
    assert "ada/faces" in listed and "`%project undelete NAME`" in listed
    assert "Nothing like that" in command("ada", "project list --deleted cats").text
    assert "ada/faces is out of the recycle bin" in command("ada", "project undelete faces").text
    assert state(faces.folder) == before
    assert "Your recycle bin is empty" in command("ada", "project list --deleted").text
    with pytest.raises(ProjectError, match="There is no faces in your recycle bin"):
        command("ada", "project undelete faces")


def test_of_two_deleted_projects_of_one_name_the_id_decides(hub, command):
    ids = []
    with hub.client("ada") as client:
        for _ in range(2):
            ids.append(client.create("twice")["id"])
            client.delete("ada", "twice")
    with pytest.raises(ProjectError, match="2 projects named twice") as said:
        command("ada", "project undelete twice")
    assert all(each in str(said.value) for each in ids)
    command("ada", f"project undelete {ids[0]}")
    with hub.client("ada") as client:
        assert [each["id"] for each in client.projects()] == [ids[0]]


def test_only_the_owner_deletes(pair, command):
    with pytest.raises(HubError, match="ada/faces is ada's"):
        command("bob", "project delete ada/faces")


# Forking


def test_a_fork_says_what_it_is_of_and_where_it_is(hub, faces, command):
    command("ada", "project publish", "faces")
    said = command("bob", "fork ada/faces as mine")
    assert "bob/mine is a fork of ada/faces, from its snapshot of " in said.text
    assert 'href="/user/bob/lab/tree/projects/mine"' in said.html
    assert state(hub.projects("bob") / "mine") == state(faces.folder)
    command("bob", "fork ada/faces")
    assert (hub.projects("bob") / "faces/train.py").exists()


def test_a_fork_of_ones_own_is_what_it_is_now_in_a_snapshot_of_its_own(hub, faces, command):
    (faces.folder / "train.py").write_text("print('not in any snapshot')\n")
    command("ada", "fork ada/faces as mine")
    assert state(hub.projects("ada") / "mine") == state(faces.folder)
    with hub.client("ada") as client:
        assert [each["reason"] for each in client.snapshots("ada", "faces")] == ["fork"]
        command("ada", "project publish", "faces")
        command("ada", "fork ada/faces as another")
        assert len(client.snapshots("ada", "faces")) == 1
    assert state(hub.projects("ada") / "another") == state(faces.folder)


def test_packages_that_a_fork_lacks_are_said_with_the_way_to_get_them(hub, faces, command):
    command("ada", "project publish", "faces")
    with hub.client("ada") as client:
        about = client.snapshots("ada", "faces")[0]
        wanted = {name: about[name] for name in ("id", "name", "reason", "branch")}
        client.add_snapshot("ada", "faces", {**wanted, "environment": {"pip": ["not-a-package-here"], "apt": []}})
    said = command("bob", "fork ada/faces as mine").text
    file = hub.projects("bob") / "mine/.git/regrow/packages.json"
    assert "pip: not-a-package-here" in said
    assert f"`regrow packages install --list-file={file}`" in said and file.exists()


def test_what_cannot_be_forked_is_said(faces, command):
    for line, error, words in (
        ("fork ada/faces", HubError, "There is no project ada/faces that you can see"),
        ("fork ada/faces mine", OptionError, "fork OWNER/NAME as NAME"),
        ("fork ada/faces as a/b", ProjectError, "can't be a project's name"),
        ("fork ada/faces --sync", OptionError, "--sync and ada/faces don't go together"),
        ("fork --sync --status", OptionError, "--status and --sync don't go together"),
        ("fork --status --ours a", OptionError, "--ours goes with --sync or --accept"),
        ("fork --nonsense", OptionError, "has no option --nonsense"),
    ):
        with pytest.raises(error, match=words):
            command("bob", line)


def test_a_fork_learns_of_its_parent_and_merges_it(hub, pair, command):
    assert "bob/mine has all that ada/faces has published." in command("bob", "fork --status", "mine").text
    write(hub, "ada", "faces/train.py", "print(2)\n")
    command("ada", "project publish", "faces")
    write(hub, "bob", "mine/data/a.csv", "5,6\n")
    said = command("bob", "fork --status", "mine").text
    assert "Changed here (1):\n  data/a.csv\nChanged in ada/faces (1):\n  train.py\n" in said
    assert "`%fork --sync` merges it" in said and "`%fork --offer MESSAGE`" in said
    synced = command("bob", "fork --sync", "mine").text
    assert "Written (1):\n  train.py" in synced and "brings it back" in synced
    assert (hub.projects("bob") / "mine/train.py").read_text() == "print(2)\n"
    assert "Nothing in your files had to be changed" in command("bob", "fork --sync", "mine").text


def test_a_conflict_says_what_is_typed_to_decide_it(hub, pair, command):
    write(hub, "ada", "faces/train.py", "print(2)\n")
    write(hub, "bob", "mine/train.py", "print(3)\n")
    command("ada", "project publish", "faces")
    before = state(hub.projects("bob") / "mine")
    with pytest.raises(ProjectError, match=r"train.py: changed on both sides(.|\n)*`%fork --sync --theirs train.py`"):
        command("bob", "fork --sync", "mine")
    assert state(hub.projects("bob") / "mine") == before
    with pytest.raises(OptionError, match="train.py can't be both yours and theirs"):
        command("bob", "fork --sync --theirs train.py --ours train.py", "mine")
    command("bob", "fork --sync --ours train.py", "mine")
    assert state(hub.projects("bob") / "mine") == before
    assert "has all that ada/faces has published" in command("bob", "fork --status", "mine").text


def test_an_offer_is_looked_at_and_accepted(hub, pair, command):
    assert "Nothing was offered to ada/faces" in command("ada", "project offers", "faces").text
    write(hub, "bob", "mine/train.py", "print('better')\n")
    offer = offer_id(command("bob", "fork --offer 'A <b>better</b> one'", "mine"))
    listed = command("ada", "project offers", "faces")
    assert re.search(rf"^{offer} +bob/mine +ada/faces +open ", listed.text, re.MULTILINE)
    assert "A &lt;b&gt;better&lt;/b&gt; one" in listed.html
    review = command("ada", f"fork --review {offer}", "faces")
    assert "+print('better')" in review.text and ".gitattributes" not in review.text
    with pytest.raises(ProjectError, match="That offer is made to ada/faces"):
        command("bob", f"fork --accept {offer}", "mine")
    assert "Written (1):\n  train.py" in command("ada", f"fork --accept {offer}", "faces").text
    assert (pair.folder / "train.py").read_text() == "print('better')\n"
    with pytest.raises(ProjectError, match="That offer was accepted already"):
        command("ada", f"fork --accept {offer}", "faces")


def test_an_offer_is_accepted_in_a_folder_that_was_brought_anew(hub, pair, command):
    write(hub, "bob", "mine/train.py", "print('better')\n")
    offer = offer_id(command("bob", "fork --offer better", "mine"))
    pair.folder.rename(hub.projects("ada").parent / "elsewhere")
    command("ada", "project open faces")
    command("ada", f"fork --accept {offer}", "faces")
    assert (pair.folder / "train.py").read_text() == "print('better')\n"


def test_an_offer_is_declined_or_withdrawn(hub, pair, command):
    write(hub, "bob", "mine/train.py", "print('better')\n")
    first, second = (offer_id(command("bob", f"fork --offer {number}", "mine")) for number in range(2))
    assert f"{first} of bob/mine is declined" in command("ada", f"fork --decline {first}", "faces").text
    assert f"{second} to ada/faces is withdrawn" in command("bob", f"fork --withdraw {second}", "mine").text
    with pytest.raises(HubError, match="That offer was withdrawn already"):
        command("ada", f"fork --decline {second}", "faces")
    for nothing in ("zzz", "''"):
        with pytest.raises(ProjectError, match="has no offer"):
            command("ada", f"fork --review {nothing}", "faces")


def test_a_lineage_names_only_what_one_may_see(pair, command):
    command("bob", "fork bob/mine as again")
    assert command("bob", "project lineage", "mine").text == "ada/faces\n└── bob/mine *\n    └── bob/again"
    theirs = command("ada", "project lineage ada/faces")
    hidden = "a project that you can't see"
    assert theirs.text == f"ada/faces *\n└── {hidden}\n    └── {hidden}"
    assert theirs.html.startswith("<svg") and "bob" not in theirs.html


# The line


def test_lines_that_make_no_sense_are_explained(command):
    for line, words in (
        ("project paint", "There is no %project 'paint'. There are: list, create"),
        ("project list --colour", "%project list has no option --colour. See %project list --help"),
        ("project open", r"%project open needs \[OWNER/\]NAME"),
        ("project history now", "%project history can't do with 'now'"),
        ("project create --template blank --git x y", "--template and --git don't go together"),
        ("project create", "Name the project"),
        ("project list --deleted --all", "don't go together"),
    ):
        with pytest.raises(OptionError, match=words):
            command("ada", line)


def test_where_there_is_no_project_it_is_said(command):
    for line in ("project snapshot", "project history", "project publish", "fork --status"):
        with pytest.raises(NotAProject, match="is in no project. `%project create NAME` makes one"):
            command("ada", line)


def test_help_needs_no_hub(command):
    overview = command("ada", "project").text
    assert "  undelete  Take a project out" in overview
    assert "%project create NAME [options]" in command("ada", "project create --help").text
    assert "%fork OWNER/NAME [as NAME] [options]" in command("ada", "fork --help").text
    assert command("ada", "fork").text == command("ada", "fork --help").text
