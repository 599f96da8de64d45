"""A Swarm of two machines: the hub on one, a server on the other."""

import secrets

import docker
import pytest

from regrow.hub_config.hub_api import HubAPIError
from regrow.spawner.swarm_network import GATEWAY_NETWORK, node_network

from support.engines import copy_image
from support.hub import bash, remove_network, running_hub
from support.second_machine import FIRST_ADDRESS, second_machine

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def worker(engine, slim_image):
    """The second machine, with the image, in the Swarm that this machine manages."""
    if engine.info()["Swarm"]["LocalNodeState"] != "inactive":
        pytest.skip("this engine is in a Swarm that is not the tests'")
    with second_machine() as machine:
        copy_image(slim_image, machine.host)
        client = docker.DockerClient(base_url=machine.host)
        engine.swarm.init(advertise_addr=FIRST_ADDRESS)
        engine.swarm.reload()
        token = engine.swarm.attrs["JoinTokens"]["Worker"]
        client.swarm.join([f"{FIRST_ADDRESS}:2377"], token, advertise_addr=machine.address)
        yield machine
        client.swarm.leave(force=True)
        engine.swarm.leave(force=True)
        if found := engine.networks.list(names=[GATEWAY_NETWORK]):
            remove_network(found[0])
        client.close()


@pytest.fixture(scope="module")
def hub_of_two(worker, slim_image, tmp_path_factory):
    """A hub that starts its servers on the second machine."""
    only = [{"slug": "only", "name": "Only", "image": slim_image}]
    config = {
        "Regrow": {"name": f"regrow-test-{secrets.token_hex(3)}", "spawner": "swarm", "profiles": only},
        "SwarmSpawner": {"extra_placement_spec": {"constraints": ["node.role==worker"]}},
    }
    with running_hub(tmp_path_factory.mktemp("two"), config) as hub:
        yield hub


async def test_a_server_runs_on_another_machine(hub_of_two, worker, new_user):
    async with hub_of_two.api() as api, new_user(api, "alice") as alice, new_user(api, "bob") as bob:
        # As docs/deployment-swarm.md says what a machine needs; what lacks it refuses, and says why.
        node = node_network(hub_of_two.name)
        with pytest.raises(HubAPIError, match=f"could not be started on .*{node}.* does not exist"):
            await api.start_server(alice)
        client = docker.DockerClient(base_url=worker.host)
        icc, binding = "bridge.enable_icc=false", f"bridge.host_binding_ipv4={worker.address}"
        options = [f"--opt=com.docker.network.{option}" for option in (icc, binding)]
        worker.run("docker", "--host", worker.host, "network", "create", "--config-only", *options, node)

        await api.start_server(alice)
        await api.start_server(bob)
        places = {}
        for user in (alice, bob):
            (container,) = client.containers.list(ignore_removed=True, filters={"label": f"io.regrow.user={user}"})
            (network,) = container.attrs["NetworkSettings"]["Networks"].values()
            (published,) = container.ports["8888/tcp"]
            assert published["HostIp"] == worker.address
            places[user] = [f"{network['IPAddress']}:8888", f"{worker.address}:{published['HostPort']}"]
        client.close()
        assert await bash(api, alice, "echo here > ~/mine.txt") == ""
        mine = hub_of_two.data_dir / "users" / alice.replace("-", "-2d") / "home/mine.txt"
        assert mine.read_text() == "here\n"

        # On one machine containers don't reach each other; published ports are for the firewall to close.
        direct, published = places[alice]
        assert await answer(api, bob, direct) == "000"
        assert await answer(api, bob, published) != "000"
        ports = "32768:60999"
        new = ["-m", "conntrack", "--ctstate", "NEW"]
        drop = ["!", "-s", FIRST_ADDRESS, "-j", "DROP"]
        worker.run("iptables", "-I", "INPUT", "-d", worker.address, "-p", "tcp", "--dport", ports, *new, *drop)
        to = ["--ctorigdst", worker.address, "--ctorigdstport", ports]
        worker.run("iptables", "-I", "DOCKER-USER", "-p", "tcp", *new, *to, *drop)
        assert await answer(api, bob, published) == "000"

        hub_of_two.kill()
        hub_of_two.start()
        assert (await api.run_cell(alice, "6 * 7")).value == "42"


async def answer(api, user, place):
    """The HTTP status that the user's container is answered at `place`; 000 for none."""
    return await bash(api, user, f"curl --noproxy '*' --max-time 3 -s -o /dev/null -w '%{{http_code}}' http://{place}/")
