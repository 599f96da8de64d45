"""The connection to the Docker engine."""

from __future__ import annotations

import docker
from docker.errors import DockerException
from docker.utils import kwargs_from_env
from requests.exceptions import RequestException

from regrow.images.errors import EngineMissing


def connect(timeout_s: int = 60) -> docker.APIClient:
    """A client of the engine that `DOCKER_HOST` names, or of this machine's. Raises `EngineMissing`."""
    try:
        return docker.APIClient(version="auto", timeout=timeout_s, **kwargs_from_env())
    except (DockerException, RequestException) as error:
        raise EngineMissing(
            "No Docker engine answers. Start it (systemctl start docker), or install it (apt-get install docker.io). "
            "Without one, notebook servers run as local processes."
        ) from error
