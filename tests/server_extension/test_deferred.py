from __future__ import annotations

import subprocess
import sys

_JSONSCHEMA = """
import sys
from regrow.server_extension.deferred import defer
defer("rfc3987_syntax", ["is_valid_syntax"])
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
assert rfc3987_syntax.__file__
"""

_OTHERS = """
import sys
from regrow.server_extension.deferred import defer
defer("colorsys", [])
import colorsys
assert colorsys.rgb_to_hsv(1, 1, 1) == (0.0, 0.0, 1)
assert sys.modules["colorsys"] is not colorsys
defer("no_such_module_at_all", ["f"])
assert "no_such_module_at_all" not in sys.modules
loaded = sys.modules["os"]
defer("os", ["getcwd"])
assert sys.modules["os"] is loaded
"""


def in_a_new_process(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_syntax_of_iris_is_loaded_when_it_is_needed_and_works() -> None:
    in_a_new_process(_JSONSCHEMA)


def test_other_attributes_missing_and_loaded_modules() -> None:
    in_a_new_process(_OTHERS)
