"""The hub's git and LFS endpoint on a free port, with projects and users that the test makes; and stock clients of it."""

import base64
import os
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import uvicorn
from fastapi import FastAPI, HTTPException

from regrow.hub_service.access import Access
from regrow.hub_service.git_http import git_router
from regrow.hub_service.lfs import lfs_router
from regrow.hub_service.repositories import create
from regrow.store import Store

from support.ports import free_port

PREFIX = "/team/services/regrow"


class Large:
    """What one project has of large files."""

    def __init__(self):
        self.sizes = {}

    def has(self, oids):
        return {oid: self.sizes[oid] for oid in oids if oid in self.sizes}

    def begin(self, oid, size):
        pass

    def record(self, oid, size):
        self.sizes[oid] = size


@dataclass
class Project:
    repository: Path
    bytes_left: int | None = None
    large: Large = field(default_factory=Large)


@dataclass
class GitEndpoint:
    """`projects` by owner and name. A user's token is `token-USER`; who is not the owner may read."""

    folder: Path
    store: Store
    projects: dict = field(default_factory=dict)
    port: int = field(default_factory=free_port)

    @classmethod
    @contextmanager
    def start(cls, folder, **settings):
        """The endpoint with its files in `folder`, until the block ends; `settings` are `git_router`'s."""
        with Store.create(str(folder / "store"), folder / "cache") as store:
            endpoint = cls(folder, store)
            app = FastAPI()
            app.include_router(git_router(endpoint._authorize, **settings), prefix=PREFIX)
            app.include_router(lfs_router(endpoint._authorize, lambda: store), prefix=PREFIX)
            config = uvicorn.Config(app, port=endpoint.port, log_level="error", timeout_graceful_shutdown=5)
            server = uvicorn.Server(config)
            thread = threading.Thread(target=server.run)
            thread.start()
            try:
                wait_for(lambda: server.started)
                yield endpoint
            finally:
                server.should_exit = True
                thread.join()

    def project(self, owner="ada", name="faces"):
        """A new project."""
        repository = self.folder / f"{owner}-{name}.git"
        create(repository)
        self.projects[owner, name] = made = Project(repository)
        return made

    def url(self, user="ada", owner="ada", name="faces"):
        """The URL of a project for git, with the credentials of `user` ("": none)."""
        credentials = f"any:token-{user}@" if user else ""
        return f"http://{credentials}127.0.0.1:{self.port}{PREFIX}/git/{owner}/{name}.git"

    def git(self, folder, *arguments, check=True, **environment):
        """What a user's git says to `arguments`, in `folder`: standard output and error together."""
        settings = self.folder / "gitconfig"
        if not settings.exists():
            settings.write_text(
                "[user]\nname = Ada\nemail = ada@example.org\n[init]\ndefaultBranch = main\n[commit]\ngpgSign = false\n"
                '[filter "lfs"]\nclean = git-lfs clean -- %f\nsmudge = git-lfs smudge -- %f\n'
                "process = git-lfs filter-process\nrequired = true\n"
            )
        variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        variables |= {"GIT_CONFIG_GLOBAL": str(settings), "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"}
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env=variables | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        assert not check or done.returncode == 0, done.stdout
        return done.stdout

    def clone(self, to, *arguments, user="ada", owner="ada", name="faces"):
        """A clone in the folder `to` of the test."""
        self.git(self.folder, "clone", "--quiet", *arguments, self.url(user, owner, name), to)
        return self.folder / to

    def commit(self, clone, path, content=b"one\n"):
        """Commit a file, and say the commit."""
        (clone / path).write_bytes(content)
        self.git(clone, "add", "--all")
        self.git(clone, "commit", "--quiet", "-m", path)
        return self.git(clone, "rev-parse", "HEAD").strip()

    async def _authorize(self, request, owner, name, write):
        try:
            _, _, credentials = request.headers["authorization"].partition(" ")
            user = base64.b64decode(credentials).decode().partition(":")[2].removeprefix("token-")
        except KeyError:
            raise HTTPException(401, "Who are you?", {"WWW-Authenticate": 'Basic realm="Regrow"'}) from None
        project = self.projects.get((owner, name))
        if not project:
            raise HTTPException(404, f"There is no project {owner}/{name}.")
        if write and user != owner:
            raise HTTPException(403, f"{owner}/{name} is not yours to write.")
        return Access(f"{owner}/{name}", project.repository, user == owner, user, project.bytes_left, project.large)


def wait_for(condition, timeout_s=30):
    """Wait until `condition()` is true, and say what it gave."""
    end = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)
    return found


def gits(command):
    """The processes of `git COMMAND` that this one has started, directly or not."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if command in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found
