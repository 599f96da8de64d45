"""A kernel's start, with Regrow's extension and without."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

from bench.case import memory_of_tree_bytes

REPLY_TIMEOUT_S = 60


class Kernels:
    """Kernels of one Python, started one after the other; `folder` is for their specification."""

    def __init__(self, python: Path, folder: Path) -> None:
        spec = folder / "measured" / "kernel.json"
        spec.parent.mkdir(parents=True)
        argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec.write_text(json.dumps({"argv": argv, "display_name": "measured", "language": "python"}))
        self._specs = KernelSpecManager(kernel_dirs=[str(folder)])
        self._pid = 0

    def start_to_first_reply(self) -> float:
        """Seconds from the start of a kernel to its reply to the first cell."""
        manager = KernelManager(kernel_name="measured", kernel_spec_manager=self._specs)
        started = time.perf_counter()
        manager.start_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self._pid = getattr(manager.provisioner, "pid", 0)
            client = manager.client()
            client.start_channels()
            client.execute("1")
            client.get_shell_msg(timeout=REPLY_TIMEOUT_S)
            seconds = time.perf_counter() - started
            client.stop_channels()
        finally:
            self._pid = 0
            manager.shutdown_kernel(now=True)
        return seconds

    def memory_bytes(self) -> int:
        """Resident memory of the kernel that runs, in bytes."""
        return memory_of_tree_bytes(self._pid) if self._pid else 0
