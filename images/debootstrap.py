"""A base image made from this machine's own package sources, for where no image registry is reached."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import docker

from regrow.images.errors import BuildFailed

Say = Callable[[str], object]

# tini, ninja and git-lfs are in Ubuntu's universe.
_COMPONENTS = {"debian": "main", "ubuntu": "main,universe"}
_CA_BUNDLE = Path("etc/ssl/certs/ca-certificates.crt")
_END_OF_CERTIFICATE = "-----END CERTIFICATE-----"


@dataclass(frozen=True)
class PackageSource:
    """One suite of a distribution, as this machine's apt knows it."""

    uri: str
    suite: str
    component: str

    def line(self) -> str:
        """The line of /etc/apt/sources.list that names it."""
        return f"deb {self.uri} {self.suite} {self.component}"


def can_make_base(root: Path = Path("/")) -> str:
    """Why `make_base` can't work on this machine; empty when it can."""
    release = _os_release(root / "etc/os-release")
    if release.get("ID") not in _COMPONENTS or not release.get("VERSION_CODENAME"):
        return "this machine is neither Debian nor Ubuntu."
    if os.geteuid() != 0:
        return "that needs root; run the command with sudo."
    return ""


def make_base(client: docker.APIClient, image: str, say: Say) -> None:
    """Make `image` from the distribution that this machine runs, by debootstrap.

    It trusts the certificate authorities that this machine trusts. Raises `BuildFailed`.
    """
    release = _os_release(Path("/etc/os-release"))
    distribution, codename = release["ID"], release["VERSION_CODENAME"]
    sources = package_sources(distribution, codename)
    main = next((source for source in sources if source.suite == codename and source.component == "main"), None)
    if main is None:
        raise BuildFailed(f"This machine's apt has no source for {distribution} {codename}, so no base can be made.")
    if not shutil.which("debootstrap"):
        say("debootstrap is installed.")
        _run(["apt-get", "update"], say)
        _run(["apt-get", "install", "-y", "--no-install-recommends", "debootstrap"], say)
    with tempfile.TemporaryDirectory(prefix="regrow-base-") as folder:
        root = Path(folder) / "root"
        _run(
            [
                "debootstrap",
                "--variant=minbase",
                "--include=ca-certificates",
                f"--components={_COMPONENTS[distribution]}",
                codename,
                str(root),
                main.uri,
            ],
            say,
        )
        (root / "etc/apt/sources.list").write_text("".join(f"{source.line()}\n" for source in sources))
        if _add_authorities(Path("/") / _CA_BUNDLE, root):
            _run(["chroot", str(root), "update-ca-certificates"], say)
        _clean(root)
        repository, _, tag = image.partition(":")
        client.import_image_from_data(_tar(root), repository=repository, tag=tag or "latest")


def package_sources(distribution: str, codename: str) -> list[PackageSource]:
    """This machine's apt sources for its own distribution: the release, its updates, its security fixes."""
    wanted = set(_COMPONENTS[distribution].split(","))
    line_format = "$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)"
    listed = _run(["apt-get", "indextargets", "--format", line_format, "Created-By: Packages"], lambda line: None)
    sources = []
    for line in listed:
        origin, uri, suite, component = line.split("|")
        of_release = suite == codename or suite.startswith(f"{codename}-")
        # A snapshot's or an old cache's origin is unknown until `apt-get update` has run.
        if origin.lower() in (distribution, "") and of_release and component in wanted:
            sources.append(PackageSource(uri, suite, component))
    return list(dict.fromkeys(sources))


def missing_authorities(ours: str, theirs: str) -> list[str]:
    """The certificates of the bundle `ours` that the bundle `theirs` hasn't."""
    known = {_body(certificate) for certificate in _certificates(theirs)}
    return [certificate for certificate in _certificates(ours) if _body(certificate) not in known]


def _add_authorities(bundle: Path, root: Path) -> bool:
    """Give `root` what only this machine's bundle trusts, where a later update-ca-certificates keeps it."""
    if not bundle.is_file():
        return False
    added = missing_authorities(bundle.read_text(), (root / _CA_BUNDLE).read_text())
    for number, certificate in enumerate(added):
        (root / f"usr/local/share/ca-certificates/host-{number}.crt").write_text(certificate)
    return bool(added)


def _certificates(bundle: str) -> list[str]:
    parts = bundle.split(_END_OF_CERTIFICATE)[:-1]
    return [part[part.index("-----BEGIN") :] + _END_OF_CERTIFICATE + "\n" for part in parts]


def _body(certificate: str) -> str:
    return "".join(certificate.split())


def _clean(root: Path) -> None:
    for pattern in (
        "var/lib/apt/lists/*",
        "var/cache/apt/archives/*.deb",
        "var/cache/apt/*.bin",
        "var/log/*.log",
    ):
        for path in root.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def _tar(root: Path) -> Iterator[bytes]:
    with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as tar:
        assert tar.stdout is not None
        while block := tar.stdout.read(1 << 20):
            yield block
    if tar.returncode:
        raise BuildFailed(f"The new base image could not be packed: tar ended with status {tar.returncode}.")


def _run(command: list[str], say: Say) -> list[str]:
    """Run `command` and return its lines, told to `say` as they come."""
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip())
            say(line.rstrip())
    if process.returncode:
        last = "\n".join(f"  {line}" for line in lines[-10:])
        raise BuildFailed(f"The base image could not be made: {command[0]} failed.\n{last}")
    return lines


def _os_release(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return {key: value.strip('"') for key, _, value in (line.partition("=") for line in lines)}
