"""The JupyterHub deployment as traitlets: profiles, roles, services, defaults; `regrow up`.

A deployment's own `jupyterhub_config.py` is a few lines::

    from regrow.hub_config import configure

    c = get_config()
    c.Regrow.data_dir = "/srv/regrow"
    c.Regrow.profiles = [{"slug": "small", "name": "Small", "cpus": 2, "memory_bytes": 4 * 1024**3}]
    configure(c)
"""

from regrow.hub_config.deployment import Regrow, configure

__all__ = ["Regrow", "configure"]
