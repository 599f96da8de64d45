"""A PostgreSQL server of the tests' own, as Debian's package has it: no other machine reaches it, nothing of it stays."""

import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

_PROGRAMS = Path("/usr/lib/postgresql")
# It refuses to run as root.
_USER = "postgres"


@dataclass
class PostgreSQL:
    """A server whose Unix socket is in `folder`."""

    folder: Path

    @classmethod
    @contextmanager
    def start(cls):
        """A new server, until the block ends."""
        found = sorted(_PROGRAMS.glob("*/bin"), key=lambda path: int(path.parts[-2]))
        if not found:
            pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
        # The path of a socket has 107 characters at most, and pytest's folders are root's alone.
        folder = Path(tempfile.mkdtemp(prefix="regrow-postgresql-", dir="/tmp"))
        shutil.chown(folder, _USER)
        # However the tests end, the server does not outlive them.
        as_user = ["setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--init-groups", "--pdeathsig=QUIT"]
        data = f"--pgdata={folder / 'data'}"
        try:
            new = [found[-1] / "initdb", data, "--auth=trust", "--no-sync", "--encoding=UTF8"]
            subprocess.run([*as_user, *new], cwd=folder, stdout=subprocess.DEVNULL, check=True)
            settings = ("-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off")
            with (folder / "log").open("w") as log:
                running = [*as_user, found[-1] / "postgres", "-D", folder / "data", *settings]
                server = subprocess.Popen(running, cwd=folder, stdout=log, stderr=log)
            try:
                made = cls(folder)
                while not made._answers():
                    assert server.poll() is None, (folder / "log").read_text()
                    time.sleep(0.05)
                yield made
            finally:
                server.send_signal(signal.SIGQUIT)
                server.wait()
        finally:
            shutil.rmtree(folder)

    def url(self, database="postgres"):
        """The URL of a database, for SQLAlchemy."""
        return f"postgresql+psycopg://{_USER}@/{database}?host={self.folder}"

    @contextmanager
    def database(self):
        """The URL of a new database, which goes with the block."""
        name = f"regrow_{secrets.token_hex(6)}"
        self._say(f"CREATE DATABASE {name}")
        try:
            yield self.url(name)
        finally:
            self._say(f"DROP DATABASE {name} WITH (FORCE)")

    def _answers(self):
        try:
            self._say("SELECT 1")
        except OperationalError:
            return False
        return True

    def _say(self, statement):
        engine = create_engine(self.url(), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(statement))
        engine.dispose()
