"""A process that writes down what may wait for ever."""

from __future__ import annotations

import subprocess
import sys

HANGS = """
import time
from regrow.state.pickling import Context
from regrow.state.reducers import polars
class Plan:
    def __reduce__(self):
        print("begun", flush=True)
        time.sleep(1000)
polars._of_plan(Plan(), Context({}))
"""


def test_it_ends_with_the_process_that_waits_for_it() -> None:
    with subprocess.Popen([sys.executable, "-c", HANGS], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.kill()
        # As long as one of them is there, this has no end: it is what the kernel waits for.
        rest, _ = process.communicate(timeout=5)
    assert rest == ""
