"""What an administrator decides about projects."""

from __future__ import annotations

from traitlets import Float, Int, Unicode
from traitlets.config import Configurable

#: The hub hands the service its settings through this variable, as JSON: URLs may have passwords.
CONFIG_VARIABLE = "REGROW_HUB_SERVICE_CONFIG"


class HubService(Configurable):
    """The hub's service of projects."""

    data_dir = Unicode(config=True, help="The deployment's folder. Regrow sets it to Regrow.data_dir.")
    database_url = Unicode(
        config=True,
        help="""The registry's database, as SQLAlchemy has it: `postgresql+psycopg://USER:PASSWORD@HOST/NAME` (install
        regrow[postgresql]). Default: SQLite, in data_dir.""",
    )
    store_url = Unicode(
        config=True,
        help="The store of large files: a folder, or any fsspec URL. Default: the folder `store` in data_dir.",
    )
    bytes_per_user = Int(
        0,
        min=0,
        config=True,
        help="Most bytes of history and large files that a user may bring to the hub. 0: no limit.",
    )
    projects_per_user = Int(0, min=0, config=True, help="Most projects that a user may have. 0: no limit.")
    recycle_bin_s = Float(
        30 * 24 * 3600.0,
        min=0,
        config=True,
        help="Seconds for which deleted projects can be restored. Default: 30 days.",
    )
