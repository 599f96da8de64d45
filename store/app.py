"""`regrow store create`, `stats`, `verify` and `gc`."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.progress import Progress
from traitlets import Bool, Float, Unicode
from traitlets.config import Application, catch_config_error

from regrow.store.errors import StoreError
from regrow.store.gc import collect
from regrow.store.stats import stats
from regrow.store.store import GRACE_S, Store, default_cache_dir
from regrow.store.verify import verify


class StoreCommand(Application):
    """A command on one store: `regrow store COMMAND URL`."""

    cache_dir = Unicode(
        config=True, help="Where this machine keeps stores' indexes. Default: regrow/store in the user's cache folder."
    )
    aliases = {"cache-dir": "StoreCommand.cache_dir"}
    flags = {}

    @catch_config_error
    def initialize(self, argv: Any = None) -> None:
        super().initialize(argv)
        if len(self.extra_args) != 1:
            print(f"{self.name} takes one argument, the store's folder or URL. See {self.name} --help", file=sys.stderr)
            self.exit(2)
        self.url = self.extra_args[0]

    def start(self) -> None:
        try:
            with self.open() as store:
                self.work(store)
        except (StoreError, OSError, ImportError, ValueError) as error:
            print(f"{self.name}: {error}", file=sys.stderr)
            self.exit(1)

    def open(self) -> Store:
        """The store that the command line names. Raises `StoreError`."""
        return Store.open(self.url, default_cache_dir(self.cache_dir))

    def work(self, store: Store) -> None:
        """What the command does."""
        raise NotImplementedError


class StoreCreateApp(StoreCommand):
    """`regrow store create URL`."""

    name = "regrow store create"
    description = "Make a store in a folder or at any URL of fsspec's. A store that is there already is left as it is."
    examples = """
    regrow store create /srv/store
    regrow store create s3://bucket/store     # credentials as fsspec and s3fs find them
    """
    grace_s = Float(
        GRACE_S,
        min=60,
        config=True,
        help="Seconds for which gc spares what nothing refers to: the longest write takes half.",
    )
    aliases = {**StoreCommand.aliases, "grace-s": "StoreCreateApp.grace_s"}

    def open(self) -> Store:
        return Store.create(self.url, default_cache_dir(self.cache_dir), grace_s=self.grace_s)

    def work(self, store: Store) -> None:
        print(f"There is a store at {store.backend.url}.")


class StoreStatsApp(StoreCommand):
    """`regrow store stats URL`."""

    name = "regrow store stats"
    description = "Say what a store holds, and what that takes."
    examples = "regrow store stats /srv/regrow/store"

    def work(self, store: Store) -> None:
        found = stats(store)
        shared = found.kept_bytes / found.stored_bytes if found.stored_bytes else 1.0
        print(f"{found.names} names keep {_size(found.kept_bytes)}")
        print(f"{found.chunks} chunks hold {_size(found.chunk_bytes)}")
        print(f"{found.packs} packs take {_size(found.stored_bytes)}, {found.condemned_packs} of them to be removed")
        print(f"Sharing and compression save a factor of {shared:.2f}")


class StoreVerifyApp(StoreCommand):
    """`regrow store verify URL`."""

    name = "regrow store verify"
    description = (
        "Read everything in a store and say what is damaged, and whom that concerns. Exit status 1 if anything is."
    )
    examples = """
    regrow store verify /srv/regrow/store
    regrow store verify --condemn /srv/regrow/store   # then store again what was lost, and run gc
    """
    condemn = Bool(False, config=True, help="Have nobody rely on damaged packs any more, and leave them to gc.")
    flags = {"condemn": ({"StoreVerifyApp": {"condemn": True}}, condemn.help)}

    def work(self, store: Store) -> None:
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("Reading packs")
            report = verify(store, lambda done, of: bar.update(task, completed=done, total=of), self.condemn)
        for problem in report.problems:
            print(problem)
        read = f"{report.packs} packs, {report.chunks} chunks, {report.names} names, {_size(report.stored_bytes)}"
        if report.problems:
            lost = (
                f"They can't be read whole: {', '.join(report.affected)}."
                if report.affected
                else "Nothing kept needs it."
            )
            print(f"Read {read}: {len(report.problems)} problems. {lost}")
            self.exit(1)
        print(f"Read {read}: all is as it was written.")


class StoreGcApp(StoreCommand):
    """`regrow store gc URL`."""

    name = "regrow store gc"
    description = """Remove what nothing kept refers to, beside whoever writes and reads.

    A first run condemns packs; one that comes at least the store's grace (a day) later removes them. Run it daily."""
    examples = "regrow store gc /srv/regrow/store"

    def work(self, store: Store) -> None:
        console = Console(stderr=True)
        with console.status("Looking at packs") as status:
            done = collect(store, status.update)
        print(
            f"Removed {done.removed_packs} packs ({_size(done.freed_bytes)}), condemned {done.condemned_packs}, "
            f"moved {_size(done.moved_bytes)} out of them."
            + (
                f" The condemned go with a run at least {store.grace_s / 3600:.3g} h from now."
                if done.condemned_packs
                else ""
            )
        )


class StoreApp(Application):
    """`regrow store`."""

    name = "regrow store"
    description = "Make, measure, verify and clean the store in which large files and session state live."
    subcommands = {
        "create": (StoreCreateApp, "Make a store."),
        "stats": (StoreStatsApp, "Say what a store holds."),
        "verify": (StoreVerifyApp, "Read everything, and say what is damaged."),
        "gc": (StoreGcApp, "Remove what nothing refers to."),
    }

    @catch_config_error
    def initialize(self, argv: Any = None) -> None:
        super().initialize(argv)
        if self.subapp is None:
            self.print_help()
            self.exit(2 if self.extra_args else 0)

    def start(self) -> None:
        assert self.subapp is not None
        self.subapp.start()


def _size(size: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.3g} {unit}" if unit != "bytes" else f"{size:.0f} bytes"
        size /= 1024
    return f"{size:.3g} TiB"
