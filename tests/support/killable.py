"""The service of projects in a process of its own, to be killed at any moment."""

import contextlib
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

# Services in processes of their own, which have imported all there is to import when they are made.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["support.service"])


class Killable:
    """The service of `deployment` in a process of its own, which the kernel kills: nothing in it has a last word.

    `steps` counts the calls in the service's code since it was last set, and at the step `dies_at` it is killed; or as
    soon as a function named `dies_after` has returned.
    """

    def __init__(self, deployment):
        self.deployment = deployment
        self._steps = _processes.Value("q", 0, lock=False)
        self._dies_at = _processes.Value("q", -1, lock=False)
        self._dies_after = _processes.Array("c", 64)
        self._process = None

    @property
    def steps(self):
        return self._steps.value

    def start(self, dies_at=-1):
        """Start it; it answers from then on, unless it dies at that step before."""
        self.count(dies_at)
        shared = (self._steps, self._dies_at, self._dies_after)
        self._process = _processes.Process(target=_serve, args=(self.deployment, *shared))
        self._process.start()
        while not _answers(self.deployment.port):
            if not self._process.is_alive():
                assert self.steps == dies_at, "the service did not start"
                return
            time.sleep(0.01)

    def count(self, dies_at=-1, dies_after=""):
        """Count the steps from here on, and have it be killed at `dies_at`, or after the function `dies_after`."""
        self._steps.value, self._dies_at.value, self._dies_after.value = 0, dies_at, dies_after.encode()

    def kill(self):
        """Kill it now, as `kill -9`, where it is not dead by itself."""
        if self._process.is_alive():  # else its number may be another's by now
            self._process.kill()
        self._process.join()


def _serve(deployment, steps, dies_at, dies_after):
    places = [str(Path(sys.modules[name].__file__).parent) for name in ("regrow.hub_service.app", "regrow.store")]
    counted = {}

    def step(frame, event, argument):
        file = frame.f_code.co_filename
        if file not in counted:
            counted[file] = str(Path(file).parent).startswith(tuple(places))
        if counted[file]:
            steps.value += 1
            is_last = event == "return" and frame.f_code.co_name.encode() == dies_after.value
            if is_last or steps.value == dies_at.value:
                os.kill(os.getpid(), signal.SIGKILL)

    threading.setprofile(step)
    with deployment.running():
        signal.pause()


def _answers(port):
    with contextlib.suppress(OSError), contextlib.closing(socket.create_connection(("127.0.0.1", port), timeout=1)):
        return True
    return False
