"""A machine in a line, without its name."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path


def describe_machine() -> str:
    """Cores, processor, memory and kernel, such as `2 cores (AMD EPYC 7B13), 24 GiB, Linux 6.18`."""
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text()
    except OSError:
        cpuinfo = ""
    found = re.search(r"^model name\s*: (.+)$", cpuinfo, re.MULTILINE)
    model = re.sub(r"\s+", " ", found[1]) if found else platform.machine()
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    version = ".".join(re.findall(r"\d+", platform.release())[:2])
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores ({model}), {memory_gib:.0f} GiB, {platform.system()} {version}"
