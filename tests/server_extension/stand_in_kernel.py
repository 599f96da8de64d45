"""An ipykernel that answers as docs/state.md says a kernel does, and writes down what it was asked.

`python stand_in_kernel.py LOG [bare] -f CONNECTION_FILE`; `bare`: without the answers, as any other Python kernel.
Variables of the notebook say how it behaves: `SAVE_S` for how many seconds a save takes, `SAVED` whether it saves.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp

LOG = Path(sys.argv[1])


def note(event: str, **more: Any) -> None:
    with LOG.open("a") as log:
        log.write(json.dumps({"event": event, "pid": os.getpid(), **more}) + "\n")


class StandIn(IPythonKernel):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        notebook, restore = os.environ.get("JPY_SESSION_NAME"), os.environ.get("REGROW_RESTORE")
        note("started", notebook=notebook, restore=restore)
        self.control_handlers["regrow_save_request"] = self.save
        self.control_handlers["regrow_moved_request"] = self.moved

    def save(self, stream: Any, ident: Any, parent: Any) -> None:
        note("save", **parent["content"], ran=self.shell.user_ns.get("RAN"))
        time.sleep(self.shell.user_ns.get("SAVE_S", 0))
        saved = self.shell.user_ns.get("SAVED", True)
        content = {"status": "ok", "saved": saved, "message": "3 variables."}
        self.session.send(stream, "regrow_save_reply", content, parent, ident=ident)
        note("saved")

    def moved(self, stream: Any, ident: Any, parent: Any) -> None:
        note("moved", **parent["content"])
        self.session.send(stream, "regrow_moved_reply", {"status": "ok"}, parent, ident=ident)


class StandInApp(IPKernelApp):
    def init_extensions(self) -> None:
        """None: what Regrow's own would answer is not what these tests are of."""


if __name__ == "__main__":
    arguments = sys.argv[2:]
    bare = arguments[0] == "bare"
    StandInApp.launch_instance(arguments[1:] if bare else arguments, kernel_class=IPythonKernel if bare else StandIn)
