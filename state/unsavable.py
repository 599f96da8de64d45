"""Kinds of objects that can't be kept, and what their owner is told."""

from __future__ import annotations

import asyncio
import concurrent.futures
import re
import socket
import threading
import types
from functools import cache

_TYPES: dict[type, str] = {
    types.GeneratorType: "a generator can't be kept: it is in the middle of its code. Make it again",
    types.CoroutineType: "a coroutine can't be kept: it is in the middle of its code. Make it again",
    types.AsyncGeneratorType: "an async generator can't be kept: it is in the middle of its code. Make it again",
    types.FrameType: "a frame of running code can't be kept",
    types.TracebackType: "a traceback can't be kept: it holds frames of running code",
    threading.Thread: "a thread can't be kept: start it again",
    socket.socket: "a socket can't be kept: connect again",
    asyncio.Task: "a task of asyncio can't be kept: it is in the middle of its code. Start it again",
    asyncio.Future: "a future can't be kept: what was to answer it is gone",
    asyncio.AbstractEventLoop: "an event loop can't be kept: each kernel has its own",
    concurrent.futures.Executor: "a pool of this kind can't be kept: make it again",
}
# By module and name, so that nothing is imported for them.
_NAMES = {
    ("sqlite3", "Connection"): "a connection to a database can't be kept: connect again",
    ("sqlite3", "Cursor"): "a cursor of a database can't be kept: make it again",
    ("subprocess", "Popen"): "a running program can't be kept: start it again",
    ("multiprocessing.process", "BaseProcess"): "a process can't be kept: start it again",
    ("multiprocessing.pool", "Pool"): "a pool of processes can't be kept: make it again",
    ("multiprocessing.managers", "BaseManager"): "a manager of processes can't be kept: start it again",
    ("multiprocessing.connection", "_ConnectionBase"): "a pipe to another process can't be kept: make it again",
    ("mmap", "mmap"): "a memory map can't be kept: map the file again",
    ("tempfile", "_TemporaryFileWrapper"): (
        "a temporary file or folder can't be kept: it is deleted with its kernel. Make it again"
    ),
    ("tempfile", "TemporaryDirectory"): (
        "a temporary file or folder can't be kept: it is deleted with its kernel. Make it again"
    ),
    ("weakref", "finalize"): "what waits for the end of an object can't be kept: register it again",
    ("xgboost.core", "DMatrix"): "a DMatrix can't be kept: make it again from its data",
    ("lightgbm.basic", "Dataset"): "a Dataset of LightGBM can't be kept: make it again from its data",
    ("torch.utils.data.dataloader", "_BaseDataLoaderIter"): (
        "an iterator of a DataLoader can't be kept: it is in the middle of its data. Make it again"
    ),
    ("torch.cuda.streams", "Stream"): "a stream of a GPU can't be kept: make it again",
    ("torch.cuda.streams", "Event"): "an event of a GPU can't be kept: make it again",
    ("torch.cuda.graphs", "CUDAGraph"): "a graph of a GPU can't be kept: record it again",
    ("torch.jit", "ScriptFunction"): "a function compiled by torch.jit can't be kept: compile it again",
}


_NODE = re.compile(r"\w+Backward\d*|AccumulateGrad")


@cache
def why_not(kind: type) -> str:
    """Why objects of `kind` can't be kept; empty where they may be."""
    for each in kind.__mro__:
        if reason := _TYPES.get(each) or _NAMES.get((each.__module__, each.__name__)):
            return reason
    if kind.__module__ == "builtins" and _NODE.fullmatch(kind.__name__):
        return "a node of PyTorch's graph can't be kept: compute it again"
    return ""
