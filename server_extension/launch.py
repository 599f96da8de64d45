"""`regrow-singleuser`: sets up the environment of a notebook server, then becomes jupyterhub-singleuser.

It becomes the server in its own process. The loader and the interpreter read LD_LIBRARY_PATH and PYTHONPATH
when a process starts, so what is set here reaches every kernel and terminal, and nothing that was installed
into `$BUILD` is ever loaded by the server itself.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

from .abi import abi_key
from .deferred import Names, deferred
from .environment import build_roots, git_environment, prepare_folders, server_environment

MODULE = "regrow.server_extension.launch"
TOKEN_FILE = Path("/var/lib/regrow/api_token")

# Two thirds of the time that a server's imports take (docs/images.md).
NOT_NEEDED_TO_START = {
    # Compiles grammars. jsonschema needs it for the formats `iri` and `iri-reference`, which no schema of the
    # server's own has.
    "rfc3987_syntax": Names(functions=("is_valid_syntax",)),
    # The hub's database, which is not in this process. JupyterHub's modules for both sides import it.
    "sqlalchemy": Names(),
    "sqlalchemy.exc": Names(classes=("SQLAlchemyError",)),
    "jupyterhub.orm": Names(),
    "jupyterhub.roles": Names(),
    "jupyterhub.handlers.pages": Names(classes=("HealthCheckHandler",)),
}


def main() -> None:
    """Start the server with the arguments of this command; returns when it stops."""
    if not sys.flags.isolated and os.environ.get("PYTHONPATH"):
        # Started below an environment that was set up already, such as a terminal's: modules of `$BUILD` are
        # on the path of this very process. -I starts it again without them.
        os.execv(sys.executable, [sys.executable, "-I", "-m", MODULE, *sys.argv[1:]])
    _take_token()
    roots = build_roots(os.environ)
    abi = abi_key()
    prepare_folders(roots, abi, _say)
    os.environ.update(server_environment(os.environ, roots, abi))
    os.environ.update(git_environment(os.environ))
    os.environ.setdefault("SHELL", "/bin/bash")
    home = os.environ.setdefault("HOME", str(Path.home()))
    root_dir = os.environ.setdefault("JUPYTERHUB_ROOT_DIR", home)
    sys.argv = ["jupyterhub-singleuser", *_projects_arguments(root_dir), *sys.argv[1:]]

    # What is imported lives as long as the server: looking for garbage in it only takes time.
    gc.disable()
    with deferred(NOT_NEEDED_TO_START):
        from jupyterhub.singleuser import main as become_server  # reads the environment that was just set
    gc.freeze()
    gc.enable()
    become_server()


def _take_token() -> None:
    """Put the token of this start, which the hub's side leaves in a file of a container, where JupyterHub looks."""
    if "JUPYTERHUB_API_TOKEN" not in os.environ and TOKEN_FILE.exists():
        os.environ["JUPYTERHUB_API_TOKEN"] = TOKEN_FILE.read_text()


def _projects_arguments(root_dir: str) -> list[str]:
    """Change into the projects folder, and open JupyterLab's file browser there."""
    projects = os.environ.get("REGROW_PROJECTS", "")
    if not projects:
        return []
    try:
        os.chdir(projects)
    except OSError as error:
        _say(f"{projects}, the projects folder, can't be entered: {error.strerror}. The server starts without.")
        return []
    if not projects.startswith(root_dir.rstrip("/") + "/"):
        return []
    return [f"--FileContentsManager.preferred_dir={os.path.relpath(projects, root_dir)}"]


def _say(message: str) -> None:
    print(f"regrow: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
