"""`%build` and its record: who installed what."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from regrow.kernel_magics import build_magic, build_packages, build_record, builds, prefixes
from regrow.kernel_magics.build_record import BuildError

from support.real_kernel import MakeKernel, build_environment


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """An empty prefix."""
    return Path(build_environment(tmp_path / "build")["REGROW_BUILD_PREFIXES"])


def put(prefix: Path, path: str, content: str = "x") -> Path:
    file = prefix / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    return file


def note(prefix: Path, project: str) -> int:
    return build_record.note(prefix, project, since=0)


def table(prefix: Path) -> dict[str, tuple[int, int, tuple[str, ...]]]:
    return {p.name: (p.files, p.size, p.projects) for p in build_record.packages(prefix)}


def fake_wheel(prefix: Path, name: str, version: str) -> None:
    """What pip leaves behind for a package of two modules."""
    site = "lib/python3/site-packages"
    put(prefix, f"{site}/{name}/__init__.py", "12345")
    put(prefix, f"bin/{name}", "123")
    info = f"{name}-{version}.dist-info"
    put(prefix, f"{site}/{info}/RECORD", f"{name}/__init__.py,,\n../../../bin/{name},,\n{info}/RECORD,,\n")


def test_packages_are_named_by_what_their_installers_leave(prefix: Path) -> None:
    fake_wheel(prefix, "demo", "1.2")
    put(prefix, "include/fmt/core.h")
    put(prefix, "lib/cmake/fmt/fmt-config.cmake")
    put(prefix, "lib/pkgconfig/fmt.pc")
    note(prefix, "alpha")
    assert {name: (files, projects) for name, (files, _, projects) in table(prefix).items()} == {
        "demo 1.2": (3, ("alpha",)),
        "fmt": (3, ("alpha",)),
    }
    put(prefix, "lib/libplain.so.1")
    put(prefix, "include/plain.h")
    note(prefix, "beta")
    assert table(prefix)["plain"] == (2, 2, ("beta",))


def test_an_upgrade_replaces_the_old_version(prefix: Path) -> None:
    fake_wheel(prefix, "demo", "1.2")
    note(prefix, "alpha")
    shutil.rmtree(prefix / "lib/python3/site-packages/demo-1.2.dist-info")
    (prefix / "lib/python3/site-packages/demo/__init__.py").unlink()
    (prefix / "bin/demo").unlink()
    fake_wheel(prefix, "demo", "2.0")
    note(prefix, "beta")
    assert [(name, files, who) for name, (files, _, who) in table(prefix).items()] == [("demo 2.0", 3, ("beta",))]


def test_the_project_is_named_by_the_folder(tmp_path: Path) -> None:
    (tmp_path / "real" / "faces" / "deep").mkdir(parents=True)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "projects").symlink_to(tmp_path / "real")
    env = {"REGROW_PROJECTS": str(tmp_path / "home/projects"), "HOME": str(tmp_path / "home")}
    assert builds.project_of(str(tmp_path / "home/projects/faces/deep"), env) == "faces"
    assert builds.project_of(str(tmp_path / "real/faces"), env) == "faces"
    assert builds.project_of(str(tmp_path / "home"), env) == "~"
    assert builds.project_of(str(tmp_path / "home" / "x"), env) == "~/x"
    assert builds.project_of("/usr", env) == "/usr"
    assert builds.project_of("", env) == ""


def test_what_is_older_than_the_cell_is_nobodys(prefix: Path) -> None:
    put(prefix, "include/old.h")
    time.sleep(0.01)
    build_record.note(prefix, "alpha", since=time.time() + 60)
    assert table(prefix) == {"old": (1, 1, ("",))}


def test_a_file_installed_in_the_same_tick_is_not_missed(prefix: Path) -> None:
    put(prefix, "include/first.h")
    note(prefix, "alpha")
    # The directory's time is put back to what it was: as if the clock had not moved.
    before = (prefix / "include").stat()
    put(prefix, "include/second.h")
    os.utime(prefix / "include", ns=(before.st_atime_ns, before.st_mtime_ns))
    note(prefix, "beta")
    assert set(table(prefix)) == {"first", "second"}


def test_a_settled_directory_is_not_looked_into_again(prefix: Path) -> None:
    put(prefix, "include/a.h")
    old = time.time_ns() - 60_000_000_000
    for folder in (prefix / "include", prefix):
        os.utime(folder, ns=(old, old))
    note(prefix, "alpha")
    file = prefix / "include" / "a.h"
    file.write_text("longer")  # in place: its directory does not change
    os.utime(prefix / "include", ns=(old, old))
    note(prefix, "alpha")
    assert table(prefix)["a"][1] == 1


def test_links_are_listed_and_never_followed(prefix: Path, tmp_path: Path) -> None:
    put(tmp_path / "outside", "secret.h")
    (prefix / "include").mkdir()
    (prefix / "include" / "away").symlink_to(tmp_path / "outside")
    (prefix / "loop").symlink_to(prefix)
    note(prefix, "alpha")
    paths = [path for name in table(prefix) for path, _ in build_record.files(prefix, name)]
    assert sorted(paths) == [b"include/away", b"loop"]


def test_a_prefix_that_is_a_link_has_no_files(prefix: Path, tmp_path: Path) -> None:
    put(tmp_path / "outside", "secret.h")
    prefix.rmdir()
    prefix.symlink_to(tmp_path / "outside")
    note(prefix, "alpha")
    assert table(prefix) == {}


def test_a_record_that_is_a_link_is_refused(prefix: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("")
    (prefix.parent / ".regrow").mkdir()
    (prefix.parent / ".regrow" / "builds.sqlite").symlink_to(precious)
    with pytest.raises(BuildError, match="is not a plain file"):
        note(prefix, "alpha")
    assert precious.read_text() == ""


def test_a_damaged_record_is_said_and_breaks_nothing(prefix: Path) -> None:
    note(prefix, "alpha")
    (prefix.parent / ".regrow" / "builds.sqlite").write_text("not a database" * 100)
    env = {"REGROW_BUILD_PREFIXES": str(prefix)}
    (listing,) = build_magic.listings(env)
    assert "is not a database. Remove it" in listing.trouble
    assert "is not a database" in build_magic.plain([listing])


def test_names_from_the_disk_are_harmless(prefix: Path) -> None:
    hostile = [b"<script>alert(1)&.h", b"new\nline.h", b"\xff\xfe.h", b"\x1b[31mred.h", "\u202eevil.h".encode()]
    (prefix / "include").mkdir()
    for name in hostile:
        (Path(os.fsdecode(os.fsencode(prefix) + b"/include/" + name))).write_bytes(b"x")
    note(prefix, "<b>project</b>")
    assert sum(files for files, _, _ in table(prefix).values()) == len(hostile)
    found = build_magic.listings({"REGROW_BUILD_PREFIXES": str(prefix)})
    rich, plain = build_magic.rich(found), build_magic.plain(found)
    assert "<script" not in rich and "<b>project" not in rich and "&lt;b&gt;project" in rich
    assert plain.isprintable() or {c for c in plain if not c.isprintable()} == {"\n"}
    assert len(plain.splitlines()) == 2 + len(table(prefix))
    plain.encode()


def test_a_hostile_record_of_pip_leads_nowhere_else(prefix: Path, tmp_path: Path) -> None:
    put(prefix, "lib/libmine.so")
    note(prefix, "alpha")
    outside = tmp_path / "passwd"
    outside.write_text("root,,\n")
    info = prefix / "evil-1.dist-info"
    info.mkdir()
    (info / "RECORD").symlink_to(outside)
    put(prefix, "bad-1.dist-info/RECORD", '/etc/passwd,,\n../../../../etc/passwd,,\n\x00,,\n,,\n"open')
    note(prefix, "alpha")
    assert table(prefix)["mine"][0] == 1


def test_groups_are_listed_after_the_users_own_and_a_read_only_one_is_only_read(tmp_path: Path) -> None:
    own = tmp_path / "users/me/build/abi-1/local"
    group = tmp_path / "groups/vision-2d2/build/abi-1/local"
    other = group.parent.parent / "abi-0" / "local"
    for where in (own, group, other):
        put(where, "include/x.h")
    note(group, "theirs")
    note(other, "theirs")
    env = {"REGROW_BUILD_PREFIXES": f"{own}:{group}"}
    text = build_magic.plain(build_magic.listings(env))
    assert text.index("Your own") < text.index("Group vision-2:") and "theirs" in text
    assert "Not used, as it was built for abi-0: 1 files, 1 B." in text
    assert prefixes.owner(Path("/build/groups/vision-2d2/abi-1/local")) == "vision-2"


def test_many_processes_note_at_once(prefix: Path) -> None:
    env = {**os.environ, "REGROW_BUILD_PREFIXES": str(prefix), "HOME": str(prefix)}

    def install(number: int) -> int:
        put(prefix, f"include/p{number}/a.h")
        command = [sys.executable, "-m", "regrow.kernel_magics.builds", "note"]
        return subprocess.run(command, env=env, cwd=prefix).returncode

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(install, range(8))) == [0] * 8
    note(prefix, "")
    assert build_record.totals(prefix) == (8, 8)


def test_the_shells_check_sees_news_and_is_quiet_after_the_note(prefix: Path) -> None:
    put(prefix, "include/a.h")
    old = time.time() - 60
    for folder in (prefix / "include", prefix):
        os.utime(folder, (old, old))
    check = ["find", prefix, "-type", "d", "-newer", prefix.parent / ".regrow" / "noted", "-print", "-quit"]
    note(prefix, "alpha")
    assert subprocess.run(check, capture_output=True, check=True).stdout == b""
    put(prefix, "include/b.h")
    assert subprocess.run(check, capture_output=True, check=True).stdout != b""


def test_other_arguments_are_answered_with_the_usage(prefix: Path) -> None:
    command = [sys.executable, "-m", "regrow.kernel_magics.builds", "dance"]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 2 and "usage:" in ran.stderr


def test_a_hundred_thousand_files_are_listed_about_as_fast_as_they_can_be_looked_at() -> None:
    # In memory where there is such a file system: making the files is not what is timed.
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        prefix = Path(folder) / "abi" / "local"
        for number in range(1000):
            (prefix / f"include/d{number}").mkdir(parents=True)
            for file in range(100):
                os.close(os.open(prefix / f"include/d{number}/f{file}.h", os.O_CREAT | os.O_WRONLY))
        note(prefix, "alpha")
        # The processor's time, which other work on the machine does not change.
        begun = time.process_time()
        for above, _, names in os.walk(prefix):
            for name in names:
                os.lstat(f"{above}/{name}")
        looked = time.process_time()
        text = build_magic.plain(build_magic.listings({"REGROW_BUILD_PREFIXES": str(prefix)}))
        assert time.process_time() - looked < 4 * (looked - begun)
        assert "100,000" in text


def test_a_cell_that_installs_is_noted_and_one_that_runs_nothing_costs_nothing(
    make_kernel: MakeKernel, tmp_path: Path
) -> None:
    project = tmp_path / "projects" / "faces"
    project.mkdir(parents=True)
    kernel = make_kernel(cwd=project, REGROW_PROJECTS=str(project.parent))
    kernel.ok("1 + 1")
    loaded = "import sys; sorted(m for m in sys.modules if m.startswith('regrow'))"
    assert kernel.ok(loaded).result == "['regrow', 'regrow.kernel_magics', 'regrow.kernel_magics.nosave']"
    kernel.ok("!mkdir -p $BUILD/local/include && echo x > $BUILD/local/include/tool.h")
    kernel.ok("import subprocess, os\nsubprocess.run(['touch', os.environ['BUILD'] + '/local/include/other.h'])")
    shown = kernel.ok("%build")
    assert "tool" in shown.result and "faces" in shown.result
    assert "<table>" in shown.displays[0]["text/html"]
    assert "include/tool.h" in kernel.ok("%build --files tool").stdout
    assert "No package" in kernel.run("%build --files nothing").evalue
    kernel.ok("!rm $BUILD/local/include/tool.h")
    assert "tool" not in kernel.ok("%build").result


def test_a_record_that_cannot_be_written_never_fails_a_cell(make_kernel: MakeKernel, tmp_path: Path) -> None:
    kernel = make_kernel()
    (tmp_path / "build" / "abi-1" / ".regrow").write_text("in the way")
    outcome = kernel.ok("!true")
    assert (outcome.stdout, outcome.stderr) == ("", "")
    assert "is not a folder" in kernel.ok("%build").result


def test_without_a_build_volume_it_says_so(make_kernel: MakeKernel) -> None:
    kernel = make_kernel(REGROW_BUILD_PREFIXES="")
    assert "This server has no $BUILD" in kernel.run("%build").evalue
    assert "does not know 'x'" in kernel.run("%build x").evalue
    assert "--files NAME" in kernel.ok("%build --help").stdout


@pytest.mark.parametrize(
    ("paths", "name"),
    [
        ([b"lib/x86_64-linux-gnu/cmake/Fmt/a.cmake", b"lib/liba.so"], "Fmt"),
        ([b"share/cmake/one/a", b"lib/cmake/two/b", b"lib/cmake/c/b", b"lib/cmake/d/b"], "c, d, one and 1 more"),
        ([b"share/pkgconfig/zlib.pc", b"lib/libz.a"], "zlib"),
        ([b"lib64/libz.so.1.2", b"include/zconf.h"], "z"),
        ([b"include/eigen3/x/y", b"bin/tool"], "eigen3"),
        ([b"sbin/tool"], "tool"),
        ([b"readme"], "readme"),
        ([], ""),
    ],
)
def test_a_group_of_files_gets_a_name(paths: list[bytes], name: str) -> None:
    assert build_packages.name_of(paths) == name


class RecordAgainstModel(RuleBasedStateMachine):
    """Files come, change and go in any order; the record says what a plain dictionary says."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="regrow-model-"))
        self.prefix = self.root / "abi" / "local"
        self.prefix.mkdir(parents=True)
        # Path to (size, project); None for a project not noted yet.
        self.model: dict[str, tuple[int, str | None]] = {}
        self.noted = False

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    paths = st.builds("/".join, st.lists(st.sampled_from(["lib", "a", "b", "é", "x y"]), min_size=1, max_size=3)).map(
        lambda path: f"{path}/file"
    )

    @rule(path=paths, size=st.integers(0, 5), name=st.sampled_from(["1", "2"]))
    def install(self, path: str, size: int, name: str) -> None:
        file = self.prefix / (path + name)
        file.parent.mkdir(parents=True, exist_ok=True)
        # As installers do: a new file takes the old one's place.
        (file.parent / ".new").write_bytes(b"x" * size)
        (file.parent / ".new").replace(file)
        self.model[path + name] = (size, None)
        self.noted = False

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(sorted(self.model)))
        (self.prefix / path).unlink()
        del self.model[path]
        self.noted = False

    @precondition(lambda self: (self.prefix / "lib").is_dir())
    @rule()
    def remove_folder(self) -> None:
        shutil.rmtree(self.prefix / "lib")
        self.model = {path: state for path, state in self.model.items() if not path.startswith("lib/")}
        self.noted = False

    @rule(project=st.sampled_from(["alpha", "beta"]))
    def note(self, project: str) -> None:
        build_record.note(self.prefix, project, since=0)
        self.model = {path: (size, who or project) for path, (size, who) in self.model.items()}
        self.noted = True

    @precondition(lambda self: self.noted)
    @invariant()
    def the_record_is_the_model(self) -> None:
        assert dict(self._recorded()) == self.model

    def _recorded(self) -> Iterator[tuple[str, tuple[int, str]]]:
        record = self.prefix.parent / ".regrow" / "builds.sqlite"
        query = "SELECT directory, name, size, project FROM file JOIN install ON install.id = install"
        with sqlite3.connect(record) as database:
            for directory, name, size, project in database.execute(query):
                yield os.fsdecode(directory + b"/" + name if directory else name), (size, project)
        database.close()


TestRecordAgainstModel = RecordAgainstModel.TestCase
TestRecordAgainstModel.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
