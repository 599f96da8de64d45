"""`regrow up` and `regrow doctor` on a machine without an engine, and with an administrator's mistakes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from support.hub import HubAPI, bash, remove_local_servers
from support.up import up

REGROW = str(Path(sys.prefix) / "bin/regrow")
NO_ENGINE = {**os.environ, "DOCKER_HOST": "unix:///nowhere/docker.sock"}


def regrow(*arguments, cwd="/", env=None):
    return subprocess.run([REGROW, *arguments], cwd=cwd, env=env, capture_output=True, text=True, timeout=120)


@pytest.fixture
def deployment(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", NO_ENGINE["DOCKER_HOST"])
    running = up(tmp_path)
    yield running
    if running.process and running.process.poll() is None:
        running.ctrl_c()
    remove_local_servers(running.data_dir)


async def test_without_an_engine_servers_are_processes_and_the_next_up_finds_them_again(deployment):
    deployment.start()
    assert "Servers: local processes (no Docker engine is used). What is different:" in deployment.output
    assert re.search(r"Sign in as +admin\n +password +\S{16}\n +\(shown once\)", deployment.output)
    token = (deployment.data_dir / "hub/cli_token").read_text()
    async with HubAPI(deployment.url, token) as api:
        await api.create_user("alice")
        await api.start_server("alice")
        await api.run_cell("alice", "kept = 'through Ctrl-C'")
        deployment.ctrl_c()
        deployment.start()
        assert (await api.server_model("alice"))["ready"]
        assert (await api.run_cell("alice", "print(kept)")).stdout == "through Ctrl-C\n"
        assert deployment.output.count("password ") == 1
        layout = await bash(api, "alice", "cd && pwd && ls -d projects && echo $BUILD && command -v regrow-singleuser")
        assert f"{deployment.data_dir}/users/alice/home" in layout and "/users/alice/build/" in layout
        await api.delete_user("alice")


def test_a_second_up_on_a_running_hub_says_so_and_leaves_it_alone(deployment):
    deployment.start()
    second = subprocess.run(deployment.command, cwd=deployment.folder, capture_output=True, text=True, timeout=60)
    assert second.returncode == 1
    port = f"Port {deployment.port + 81} of 127.0.0.1 is taken. Does this deployment's hub run already?"
    assert port in second.stderr and "--port" in second.stderr, second
    assert httpx.get(f"{deployment.url}/hub/api/", trust_env=False).status_code == 200


def test_secrets_are_files_that_only_the_hub_reads(deployment):
    deployment.start()
    assert deployment.data_dir.stat().st_mode & 0o777 == 0o700
    for name in ["crypt_key", "cookie_secret", "cli_token", "proxy_token"]:
        assert (deployment.data_dir / "hub" / name).stat().st_mode & 0o777 == 0o600, name
    assert not (deployment.data_dir / "hub/first_password").exists()
    secrets = [path.read_text().strip() for path in (deployment.data_dir / "hub").glob("*_*") if path.is_file()]
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = cmdline.read_text()
        except OSError:
            continue
        assert not any(secret in arguments for secret in [*secrets, deployment.password])


def test_doctor_says_what_is_missing_and_how_to_get_it(tmp_path):
    done = regrow("doctor", f"--data-dir={tmp_path}", env=NO_ENGINE)
    assert "No Docker engine answers. Start it" in done.stdout
    assert "apt-get install docker.io" in done.stdout
    assert done.returncode == 0, done.stdout + done.stderr
    done = regrow("doctor", f"--data-dir={tmp_path}", "--spawner=docker", env=NO_ENGINE)
    assert "MISSING" in done.stdout
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["nonsense"], 2, "no command 'nonsense'"),
        (["up", "nonsense"], 2, "takes no argument 'nonsense'"),
        (["up", "--config=/nowhere.py"], 2, "There is no configuration /nowhere.py"),
        (["up", "--spawner=magic"], 2, "magic"),
        (["up", "--port=abc"], 2, "'abc' is not a port"),
        (["doctor", "nonsense"], 2, "takes no argument"),
    ],
)
def test_a_mistake_on_the_command_line_is_named_with_status_2(arguments, status, message):
    done = regrow(*arguments, env=NO_ENGINE)
    assert message in done.stderr + done.stdout
    assert "Traceback" not in done.stderr + done.stdout
    assert done.returncode == status


@pytest.mark.parametrize(
    ("profiles", "message"),
    [
        ("[]", "Regrow.profiles is empty"),
        ('[{"slug": "x", "name": "X", "cpus": -1}]', "cpus is -1"),
        ('[{"slug": "x", "name": "X", "memory": 1}]', "unexpected keyword argument 'memory'"),
        ("[nonsense]", "name 'nonsense' is not defined"),
        ("[", "was never closed"),
    ],
)
def test_a_mistake_in_the_configuration_is_named_and_nothing_is_started(tmp_path, profiles, message):
    config = tmp_path / "jupyterhub_config.py"
    config.write_text(
        "from regrow.hub_config import configure\n"
        f"c = get_config()\nc.Regrow.data_dir = {json.dumps(str(tmp_path / 'data'))}\n"
        f"c.Regrow.profiles = {profiles}\nconfigure(c)\n"
    )
    done = regrow("up", cwd=tmp_path, env=NO_ENGINE)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == 2


def test_help_describes_every_option():
    done = regrow("up", "--help")
    assert done.returncode == 0
    for option in ["--config", "--port", "--data-dir", "--spawner", "--idle-timeout-s"]:
        assert option in done.stdout
