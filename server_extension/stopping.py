"""What the hub's side says about stops, in the environment: how long one may take, and when kernels are idle."""

from __future__ import annotations

from collections.abc import Mapping

from traitlets.config import Config

#: Seconds from the request to stop until the server is killed: RegrowSpawner.stop_grace_s.
STOP_GRACE = "REGROW_STOP_GRACE_S"
#: Regrow.kernel_idle_timeout_s.
KERNEL_IDLE_TIMEOUT = "REGROW_KERNEL_IDLE_TIMEOUT_S"

# What `docker stop` gives a container of which nobody has said more.
_DEFAULT_GRACE_S = 10.0
# Kernels that hang are killed five seconds after they were asked to end (KernelManager.shutdown_wait_time).
_TO_END_S = 8.0
# jupyter-server's own.
_MOST_BETWEEN_LOOKS_S = 300


def stop_budget_s(environ: Mapping[str, str]) -> float:
    """How much of the grace there is for saving; the rest is for ending the kernels and the server."""
    grace_s = _number(environ, STOP_GRACE) or _DEFAULT_GRACE_S
    return max(grace_s - _TO_END_S, 0.8 * grace_s)


def kernel_idle_timeout(environ: Mapping[str, str], config: Config) -> Config:
    """The options by which jupyter-server culls idle kernels as the administrator says, unless `config` says more."""
    timeout_s = int(_number(environ, KERNEL_IDLE_TIMEOUT))
    given = {**config.get("MappingKernelManager", {}), **config.get("AsyncMappingKernelManager", {})}
    if timeout_s < 1 or "cull_idle_timeout" in given:
        return Config()
    interval_s = max(1, min(_MOST_BETWEEN_LOOKS_S, timeout_s // 4))
    return Config({"MappingKernelManager": {"cull_idle_timeout": timeout_s, "cull_interval": interval_s, **given}})


def _number(environ: Mapping[str, str], variable: str) -> float:
    try:
        return float(environ.get(variable) or 0)
    except ValueError:
        return 0.0
