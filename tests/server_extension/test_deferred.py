from __future__ import annotations

import subprocess
import sys

_JSONSCHEMA = """
import sys
from regrow.server_extension.deferred import Names, deferred
with deferred({"rfc3987_syntax": Names(functions=("is_valid_syntax",))}):
    import jsonschema
assert "lark" not in sys.modules
validator = jsonschema.Draft202012Validator(
    {"format": "iri"}, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
)
assert validator.is_valid("https://example.org/é")
assert not validator.is_valid("no iri")
assert "lark" in sys.modules
import rfc3987_syntax
assert rfc3987_syntax.is_valid_syntax_iri("https://example.org/")
"""

_HUB = """
import sys
from regrow.server_extension.deferred import deferred
from regrow.server_extension.launch import NOT_NEEDED_TO_START
with deferred(NOT_NEEDED_TO_START):
    import jupyterhub.singleuser
assert not {"sqlalchemy", "alembic", "lark"} & sys.modules.keys(), "the server's imports are as quick as they can be"
from jupyterhub import scopes
assert scopes.orm.User.__tablename__ == "users"
import sqlalchemy
from sqlalchemy.exc import OperationalError, SQLAlchemyError
assert issubclass(OperationalError, SQLAlchemyError)
with sqlalchemy.create_engine("sqlite://").connect() as connection:
    assert connection.scalar(sqlalchemy.text("select 1")) == 1
from jupyterhub.handlers.pages import HealthCheckHandler
assert HealthCheckHandler.get
assert scopes.sa is not sqlalchemy and scopes.sa.inspect is sqlalchemy.inspect
"""

_USED_IN_THE_BLOCK = """
from regrow.server_extension.deferred import deferred
from regrow.server_extension.launch import NOT_NEEDED_TO_START
with deferred(NOT_NEEDED_TO_START):
    import sqlalchemy
    text = sqlalchemy.text
    from sqlalchemy.exc import OperationalError, SQLAlchemyError
    assert issubclass(OperationalError, SQLAlchemyError)
import sqlalchemy
assert sqlalchemy.text is text
"""

_LEFT_ALONE = """
import sys
from regrow.server_extension.deferred import Names, deferred
loaded = sys.modules["os"]
with deferred({"no_such_module_at_all": Names(), "os": Names(), "colorsys": Names()}):
    assert "no_such_module_at_all" not in sys.modules
    assert sys.modules["os"] is loaded
    import colorsys
    assert not hasattr(colorsys, "__path__")
assert "colorsys" not in sys.modules
assert colorsys.rgb_to_hsv(1, 1, 1) == (0.0, 0.0, 1)
try:
    colorsys.no_such_function
except AttributeError as error:
    assert "no_such_function" in str(error)
else:
    raise AssertionError
"""


def in_a_new_process(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_syntax_of_iris_is_loaded_when_it_is_needed_and_works() -> None:
    in_a_new_process(_JSONSCHEMA)


def test_the_server_starts_without_the_hubs_database_and_others_can_use_it() -> None:
    in_a_new_process(_HUB)


def test_what_is_used_in_the_block_is_the_real_module() -> None:
    in_a_new_process(_USED_IN_THE_BLOCK)


def test_loaded_missing_and_other_modules() -> None:
    in_a_new_process(_LEFT_ALONE)
