"""The JupyterHub deployment as traitlets: profiles, roles, services, defaults; `regrow up`."""
