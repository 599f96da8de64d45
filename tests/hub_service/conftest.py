"""The service, and who uses it."""

from support.service_fixtures import (  # noqa: F401 (fixtures)
    acting,
    data_dir,
    database_url,
    deployment,
    hub,
    killable,
    limits,
    new_project,
    postgresql,
    with_reflinks,
    without_reflinks,
)
