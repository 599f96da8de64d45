"""What `regrow up` runs where no other file is named. Copy it to start a deployment of your own."""

from regrow.hub_config import configure

c = get_config()  # noqa: F821 - JupyterHub's loader provides it

# c.JupyterHub.bind_url = "https://notebooks.example.org"
# c.Regrow.data_dir = "/srv/regrow"
# c.Regrow.profiles = [{"slug": "small", "name": "Small", "cpus": 2, "memory_bytes": 4 * 1024**3}]

configure(c)
