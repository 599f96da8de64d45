"""What `configure` makes of a deployment's few lines."""

import json
import stat
import threading

import pytest
from traitlets.config import Config

from regrow.hub_config import configure
from regrow.hub_config.deployment import CONFIG_VARIABLE
from regrow.hub_config.secrets import secret
from regrow.spawner.profiles import ProfileError


@pytest.fixture
def c(tmp_path, monkeypatch):
    """A configuration file's `c`, for a machine without an engine."""
    monkeypatch.delenv(CONFIG_VARIABLE, raising=False)
    monkeypatch.delenv("JUPYTERHUB_CRYPT_KEY", raising=False)
    return Config({"Regrow": {"data_dir": str(tmp_path / "data"), "spawner": "local"}})


def test_a_few_lines_are_a_whole_deployment(c, tmp_path):
    configure(c)
    assert c.JupyterHub.bind_url == "http://127.0.0.1:8000"
    assert c.JupyterHub.spawner_class == "regrow-local"
    assert c.JupyterHub.cleanup_servers is False
    assert c.Authenticator.enable_auth_state
    assert len(c.CryptKeeper["keys"][0]) == 64
    assert stat.S_IMODE((tmp_path / "data/hub/crypt_key").stat().st_mode) == 0o600


def test_what_the_file_sets_stays_as_it_is(c):
    c.JupyterHub.bind_url = "http://0.0.0.0:9000"
    c.Spawner.start_timeout = 7
    c.JupyterHub.services = [{"name": "mine"}]
    c.JupyterHub.load_roles = [{"name": "mine"}, {"name": "user", "scopes": ["self"]}]
    configure(c)
    assert c.JupyterHub.bind_url == "http://0.0.0.0:9000"
    assert c.JupyterHub.hub_port == 9081
    assert c.ConfigurableHTTPProxy.api_url == "http://127.0.0.1:9001"
    assert c.Spawner.start_timeout == 7
    assert [service["name"] for service in c.JupyterHub.services] == ["mine", "regrow-cli", "regrow"]
    assert [role["name"] for role in c.JupyterHub.load_roles] == ["mine", "user", "regrow-cli", "regrow", "server"]
    assert {"name": "user", "scopes": ["self"]} in c.JupyterHub.load_roles


def test_another_authenticator_is_left_to_itself(c):
    c.JupyterHub.authenticator_class = "dummy"
    configure(c)
    assert c.JupyterHub.authenticator_class == "dummy"
    assert "allow_all" not in c.Authenticator and "admin_users" not in c.Authenticator


def test_a_key_from_the_environment_is_used_and_none_is_made(c, tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_CRYPT_KEY", "a" * 64)
    configure(c)
    assert "keys" not in c.CryptKeeper
    assert not (tmp_path / "data/hub/crypt_key").exists()


def test_secrets_stay_the_same_from_start_to_start(c, tmp_path):
    configure(c)
    again = Config({"Regrow": c.Regrow})
    configure(again)
    assert again.CryptKeeper["keys"] == c.CryptKeeper["keys"]
    assert again.ConfigurableHTTPProxy.auth_token == c.ConfigurableHTTPProxy.auth_token


def test_services_have_no_more_scopes_than_they_need(c):
    c.Regrow.idle_timeout_s = 600
    configure(c)
    roles = {role["name"]: set(role["scopes"]) for role in c.JupyterHub.load_roles}
    assert roles["regrow-cli"] == {"admin:users", "servers", "tokens"}
    assert roles["idle-culler"] == {"list:users", "read:users:activity", "read:servers", "delete:servers"}
    assert roles["regrow"] == {"read:users:name", "read:users:groups"}
    assert "custom:regrow:admin" not in roles["user"] | roles["server"]
    culler = next(service for service in c.JupyterHub.services if service["name"] == "idle-culler")
    assert "--timeout=600" in culler["command"]


def test_the_command_line_of_regrow_up_wins_over_the_file(c, monkeypatch, tmp_path):
    monkeypatch.setenv(CONFIG_VARIABLE, json.dumps({"Regrow": {"admin_name": "root-of-all"}}))
    c.Regrow.admin_name = "file"
    configure(c)
    assert c.Authenticator.admin_users.get_value(set()) == {"root-of-all"}


@pytest.mark.parametrize("admins", [["ann"], {"ann"}, ("ann",)])
def test_administrators_of_the_file_stay_administrators(c, admins):
    c.Authenticator.admin_users = admins
    configure(c)
    assert c.Authenticator.admin_users == {"ann", "admin"}


def test_a_profile_that_makes_no_sense_stops_before_anything_is_made(c, tmp_path):
    c.Regrow.profiles = [{"slug": "x", "name": "X", "gpus": -1}]
    with pytest.raises(ProfileError, match="gpus is -1"):
        configure(c)
    assert not (tmp_path / "data").exists()


def test_a_secret_that_others_may_read_is_refused(tmp_path):
    path = tmp_path / "key"
    secret(path)
    path.chmod(0o644)
    with pytest.raises(PermissionError, match="chmod 600"):
        secret(path)


def test_two_processes_that_start_at_once_agree_on_a_secret(tmp_path):
    barrier, seen = threading.Barrier(8), []

    def start(number):
        barrier.wait()
        seen.append(secret(tmp_path / "key", f"value-{number}"))

    threads = [threading.Thread(target=start, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8 and len(set(seen)) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize(("timeout_s", "interval"), [(0, None), (30, "10"), (1, "1"), (3600, None)])
def test_a_server_that_is_used_says_so_before_it_would_be_stopped(c, timeout_s, interval):
    c.Regrow.idle_timeout_s = timeout_s
    configure(c)
    assert c.Spawner.get("environment", {}).get("JUPYTERHUB_ACTIVITY_INTERVAL") == interval


def test_idle_kernels_are_culled_only_when_the_administrator_says_so(c):
    variable = "REGROW_KERNEL_IDLE_TIMEOUT_S"
    configure(c)
    assert variable not in c.Spawner.environment
    c.Regrow.kernel_idle_timeout_s = 3600
    c.Spawner.environment["TZ"] = "UTC"
    configure(c)
    assert (c.Spawner.environment[variable], c.Spawner.environment["TZ"]) == ("3600", "UTC")
