from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from regrow.images.debootstrap import can_make_base, make_base, missing_authorities, package_sources


def certificate(text: str) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n"


def test_authorities_that_only_this_machine_trusts() -> None:
    ours = "# a comment\n" + certificate("A") + certificate("B") + "\n" + certificate("C")
    theirs = certificate("C") + certificate("A")
    assert missing_authorities(ours, theirs) == [certificate("B")]
    assert missing_authorities("", theirs) == []


def test_only_debian_and_ubuntu_make_a_base(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    assert "neither Debian nor Ubuntu" in can_make_base(tmp_path)
    (tmp_path / "etc/os-release").write_text('ID="fedora"\nVERSION_CODENAME=""\n')
    assert "neither Debian nor Ubuntu" in can_make_base(tmp_path)
    (tmp_path / "etc/os-release").write_text("ID=ubuntu\nVERSION_CODENAME=noble\n")
    assert can_make_base(tmp_path) == ("" if os.geteuid() == 0 else "that needs root; run the command with sudo.")


@pytest.fixture
def base_name(client: docker.APIClient) -> Iterator[str]:
    name = "regrow-test/made-base:1"
    yield name
    client.remove_image(name, force=True)


@pytest.mark.docker
def test_a_base_is_made_from_this_machines_sources(client: docker.APIClient, base_name: str) -> None:
    obstacle = can_make_base()
    if obstacle:
        pytest.skip(f"No base can be made here: {obstacle}")
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    suites = {source.suite for source in package_sources(release["ID"], release["VERSION_CODENAME"])}
    assert release["VERSION_CODENAME"] in suites
    make_base(client, base_name, lambda line: None)
    look = "cat /etc/os-release; cat /etc/apt/sources.list; ls /var/lib/apt/lists | wc -l"
    output = subprocess.run(
        ["docker", "run", "--rm", "--network=none", base_name, "sh", "-c", look],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"VERSION_CODENAME={release['VERSION_CODENAME']}\n" in output
    assert all(f" {suite} " in output for suite in suites)
    assert output.endswith("\n0\n")
