"""How a hub on a manager's machine and services on the machines of a Swarm reach each other, and services don't.

Services are on a bridge of their own machine on which containers do not reach each other, not on an overlay network:
on an overlay, every container reaches every other one, and the machine that the hub runs on is not on it. A server's
port is published on its machine (`mode: host`); on the hub's machine that is 127.0.0.1 alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any

import docker

from regrow.spawner.engine import EngineError

#: The engine's own bridge of every machine of a Swarm.
GATEWAY_NETWORK = "docker_gwbridge"

# The engine makes it in the background after `docker swarm init`.
_GATEWAY_TIMEOUT_S = 20

_ICC = "com.docker.network.bridge.enable_icc"
_BINDING = "com.docker.network.bridge.host_binding_ipv4"


def service_network(name: str) -> str:
    """The network of the services of the deployment `name`."""
    return f"{name}-swarm"


def node_network(name: str) -> str:
    """The network that says, on each machine, how that machine makes its part of `service_network`."""
    return f"{name}-node"


def ensure_swarm_network(client: docker.APIClient, name: str, sleep: Callable[[float], None] = time.sleep) -> str:
    """Make the networks of the deployment `name` where they are missing; returns the hub's address for services.

    Raises `EngineError` where this machine doesn't manage a Swarm, or a network of that name is another's.
    """
    address = _manager_address(client.info())
    node, service = node_network(name), service_network(name)
    if not _find(client, node):
        options = {_ICC: "false", _BINDING: "127.0.0.1"}
        _create(client, Name=node, ConfigOnly=True, Options=options, Labels={"io.regrow.deployment": name})
    if not (client.inspect_network(node).get("Options") or {}).get(_ICC) == "false":
        raise EngineError(
            f"The network {node!r} lets containers reach each other. Remove it (docker network rm {service} {node}) "
            "so that it is made anew, or choose another Regrow.name."
        )
    if not _find(client, service):
        _create(client, Name=service, Driver="bridge", Scope="swarm", ConfigFrom={"Network": node})
    made_from = client.inspect_network(service).get("ConfigFrom") or {}
    # An engine that already has a part of the network tells the options that it took over instead.
    if made_from.get("Network") != node and (client.inspect_network(service)["Options"] or {}).get(_ICC) != "false":
        raise EngineError(
            f"The network {service!r} is not one that Regrow made. Remove it (docker network rm {service}), or choose "
            "another Regrow.name."
        )
    # No container reaches a loopback address of its machine: a Swarm of this machine alone.
    return _gateway(client, sleep) if ip_address(address).is_loopback else address


def published_at(task: Mapping[str, Any], node: Mapping[str, Any], own_node: str, port: int) -> tuple[str, int]:
    """Where the hub reaches `port` of the running `task` on `node`; `own_node` is the id of the hub's machine.

    Raises `EngineError` where the task's machine published nothing.
    """
    for published in task["Status"].get("PortStatus", {}).get("Ports") or ():
        if published["TargetPort"] == port and published.get("PublishedPort"):
            own = node["ID"] == own_node
            return "127.0.0.1" if own else str(node["Status"]["Addr"]), int(published["PublishedPort"])
    raise EngineError(f"The machine {node['Description']['Hostname']} did not publish the port of the server.")


def _manager_address(info: Mapping[str, Any]) -> str:
    swarm = info.get("Swarm") or {}
    if swarm.get("LocalNodeState") != "active":
        raise EngineError(
            "Regrow.spawner is 'swarm', but this engine is in no Swarm. Make one here (docker swarm init), or set "
            "Regrow.spawner to 'docker'."
        )
    if not swarm.get("ControlAvailable"):
        raise EngineError(
            "This engine is a worker of its Swarm, and only a manager can start services. Run the hub on a manager, "
            f"or make this machine one: docker node promote {swarm.get('NodeID')} (on a manager)."
        )
    return str(swarm["NodeAddr"])


def _gateway(client: docker.APIClient, sleep: Callable[[float], None]) -> str:
    for _ in range(_GATEWAY_TIMEOUT_S * 10):
        if _find(client, GATEWAY_NETWORK):
            return str(client.inspect_network(GATEWAY_NETWORK)["IPAM"]["Config"][0]["Gateway"])
        sleep(0.1)
    raise EngineError(
        f"The engine is in a Swarm but has no network {GATEWAY_NETWORK}. Restart it, or make the Swarm anew."
    )


def _find(client: docker.APIClient, name: str) -> bool:
    # By whole name: the engine's filter is a part of the name, and anchors in it match no network of a Swarm.
    return any(network["Name"] == name for network in client.networks())


def _create(client: docker.APIClient, **body: Any) -> None:
    # docker-py's create_network knows neither ConfigOnly nor ConfigFrom.
    api: Any = client
    api._result(api._post_json(api._url("/networks/create"), data={"CheckDuplicate": True, **body}), json=True)
