"""A kernel's start, with Regrow's extension and without."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

REPLY_TIMEOUT_S = 60


def start_to_first_reply(python: Path, folder: Path) -> float:
    """Seconds from the start of a kernel of this Python to its reply to the first cell."""
    spec = folder / "kernels" / "measured" / "kernel.json"
    spec.parent.mkdir(parents=True, exist_ok=True)
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": argv, "display_name": "measured", "language": "python"}))
    specs = KernelSpecManager(kernel_dirs=[str(folder / "kernels")])
    manager = KernelManager(kernel_name="measured", kernel_spec_manager=specs)
    started = time.perf_counter()
    manager.start_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        client = manager.client()
        client.start_channels()
        client.execute("1")
        client.get_shell_msg(timeout=REPLY_TIMEOUT_S)
        seconds = time.perf_counter() - started
        client.stop_channels()
    finally:
        manager.shutdown_kernel(now=True)
    return seconds
