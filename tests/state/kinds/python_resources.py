"""What holds something of the system: files, locks, threads, connections, loggers."""

from __future__ import annotations

from .kind import Library

LIBRARY = Library("Python: files, threads, connections", "python")
_restored, _noted, _lost = LIBRARY.restored, LIBRARY.noted, LIBRARY.lost

_noted(
    "file that is read, in its middle",
    "reading",
    """
    from pathlib import Path
    (Path.home() / 'lines.txt').write_text('one\\nzwölf\\nthree\\n', 'utf-8')
    reading = open(Path.home() / 'lines.txt', encoding='utf-8', newline='')
    reading.readline()
    None
    """,
    "assert reading.readline() == 'zwölf\\n' and reading.encoding == 'utf-8' and reading.read() == 'three\\n'",
    "the file ~/lines.txt is opened again where it was read to",
)
_noted(
    "file that is read as bytes",
    "reading_bytes",
    """
    from pathlib import Path
    (Path.home() / 'data.bin').write_bytes(bytes(range(100)))
    reading_bytes = open(Path.home() / 'data.bin', 'rb')
    reading_bytes.read(10)
    None
    """,
    "assert reading_bytes.read(2) == bytes([10, 11])",
    "the file ~/data.bin is opened again where it was read to",
)
_lost(
    "file that is iterated over in a loop",
    "looped_file",
    """
    from pathlib import Path
    (Path.home() / 'loop.txt').write_text('one\\ntwo\\n')
    looped_file = open(Path.home() / 'loop.txt')
    next(looped_file)
    None
    """,
    "a file in the middle of a loop over its lines can't be kept. Open it again",
)
_lost(
    "file that is written",
    "writing",
    "from pathlib import Path\nwriting = open(Path.home() / 'written.txt', 'w')\nwriting.write('not yet there')\nNone",
    "an open file (~/written.txt) can't be kept. Open it again",
    "from pathlib import Path\nassert (Path.home() / 'written.txt').read_text() == '', 'the child wrote what was buffered'",
)
_restored(
    "files that are closed, as `with` leaves them",
    """
    from pathlib import Path
    with open(Path.home() / 'closed.txt', 'w', encoding='utf-8') as closed:
        closed.write('x')
    with open(Path.home() / 'closed.txt', 'rb') as closed_bytes:
        pass
    """,
    """
    from pathlib import Path
    assert closed.closed and closed.name.endswith('/closed.txt') and closed.mode == 'w' and closed.encoding == 'utf-8'
    assert closed_bytes.closed and closed_bytes.name == closed.name and closed_bytes.mode == 'rb'
    assert (Path.home() / 'closed.txt').read_text() == 'x'
    """,
)
_noted(
    "archive that is closed",
    "closed_archive",
    """
    import zipfile
    from pathlib import Path
    with zipfile.ZipFile(Path.home() / 'closed.zip', 'w') as closed_archive:
        closed_archive.writestr('a', 'b')
    """,
    "assert closed_archive.namelist() == ['a'] and closed_archive.fp is None",
    "a lock comes back open",
)
_lost(
    "file that was deleted",
    "deleted",
    """
    from pathlib import Path
    (Path.home() / 'deleted.txt').write_text('x')
    deleted = open(Path.home() / 'deleted.txt')
    (Path.home() / 'deleted.txt').unlink()
    """,
    "an open file (~/deleted.txt) can't be kept. Open it again",
)
_lost(
    "csv reader",
    "csv_rows",
    "import csv\ncsv_rows = csv.reader(['a,b'])",
    "an object of type _csv.reader can't be pickled",
)
_lost(
    "compressed file",
    "packed",
    "import gzip\nfrom pathlib import Path\npacked = gzip.open(Path.home() / 'packed.gz', 'wb')",
    "an open file (~/packed.gz) can't be kept. Open it again",
)
_lost(
    "zip or tar archive",
    "archive",
    "import zipfile\nfrom pathlib import Path\narchive = zipfile.ZipFile(Path.home() / 'archive.zip', 'w')",
    "an open archive (~/archive.zip) can't be kept. Open it again",
)
_restored(
    "the kernel's own output",
    "import sys\nout, errors = sys.stdout, sys.stderr",
    "import sys\nassert out is sys.stdout and errors is sys.stderr\nprint('seen', file=out)",
)
_lost(
    "temporary files and folders",
    "temporary temporary_folder",
    "import tempfile\ntemporary = tempfile.NamedTemporaryFile()\ntemporary_folder = tempfile.TemporaryDirectory()",
    "a temporary file or folder can't be kept: it is deleted with its kernel. Make it again",
)
_noted(
    "lock, RLock",
    "lock rlock",
    """
    import threading
    lock, rlock = threading.Lock(), threading.RLock()
    lock.acquire()
    None
    """,
    "assert not lock.locked() and lock.acquire(timeout=1) and rlock.acquire() and rlock.acquire()",
    "a lock comes back open",
)
_noted(
    "condition, event, semaphore, barrier",
    "condition event semaphore barrier",
    """
    import threading
    condition, event, semaphore, barrier = threading.Condition(), threading.Event(), threading.Semaphore(3), threading.Barrier(1)
    event.set()
    semaphore.acquire()
    None
    """,
    """
    with condition:
        condition.notify_all()
    assert event.is_set() and semaphore._value == 2 and barrier.wait(5) == 0
    """,
    "a lock comes back open",
)
_noted(
    "queue",
    "queue_ priority",
    """
    import queue
    queue_, priority = queue.Queue(maxsize=3), queue.PriorityQueue()
    queue_.put('a'); queue_.put('b'); priority.put(2); priority.put(1)
    """,
    "assert queue_.get(timeout=1) == 'a' and queue_.qsize() == 1 and priority.get() == 1\nqueue_.put('c'); queue_.put('d')\nassert queue_.full()",
    "a lock comes back open",
)
_lost(
    "SimpleQueue",
    "simple_queue",
    "import queue\nsimple_queue = queue.SimpleQueue()",
    "an object of type _queue.SimpleQueue can't be pickled",
)
_restored(
    "asyncio lock, event, queue",
    "import asyncio\nasync_lock, async_event, async_queue = asyncio.Lock(), asyncio.Event(), asyncio.Queue()\nasync_queue.put_nowait(1)",
    "async with async_lock:\n    assert await async_queue.get() == 1 and not async_event.is_set()",
)
_lost(
    "thread that runs, or is still to be started",
    "thread unstarted",
    """
    import threading
    import time
    thread, unstarted = threading.Thread(target=time.sleep, args=(1000,), daemon=True), threading.Thread(target=print)
    thread.start()
    """,
    "a thread can't be kept: start it again",
)
_restored(
    "thread that has ended",
    "import threading\nended_thread = threading.Thread(target=print, name='worker')\nended_thread.start(); ended_thread.join()",
    "assert not ended_thread.is_alive() and ended_thread.name == 'worker'\nended_thread.join()",
)
_restored(
    "program that has ended",
    "import subprocess\nended_program = subprocess.Popen(['true'])\nended_program.wait()\nNone",
    "assert ended_program.returncode == 0 and ended_program.poll() == 0 and ended_program.args == ['true']",
)
_lost(
    "timer", "timer", "import threading\ntimer = threading.Timer(1000, print)", "a thread can't be kept: start it again"
)
_noted(
    "thread-local data",
    "local_data",
    "import threading\nlocal_data = threading.local()\nlocal_data.x = 5",
    "assert local_data.x == 5\nlocal_data.y = 6",
    "data of threads comes back with what the notebook's own thread had in it",
)
_noted(
    "pool of threads, pool of processes",
    "pool process_pool",
    """
    from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
    pool, process_pool = ThreadPoolExecutor(3), ProcessPoolExecutor(2)
    assert list(pool.map(abs, [-1])) == [1]
    """,
    "assert list(pool.map(abs, [-2])) == [2] and pool._max_workers == 3 and process_pool._max_workers == 2",
    "a pool comes back with workers of its own, and without what it was still to do",
)
_lost(
    "future",
    "future",
    "from concurrent.futures import Future\nfuture = Future()",
    "a future can't be kept: what was to answer it is gone",
)
_restored(
    "future that has its result",
    "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(1) as ended_pool:\n    finished_future = ended_pool.submit(abs, -3)\n    finished_future.result()\ndel ended_pool",
    "assert finished_future.result(timeout=1) == 3",
)
_lost(
    "multiprocessing pool, process, pipe",
    "worker_process",
    "import multiprocessing\nworker_process = multiprocessing.Process(target=print)",
    "a process can't be kept: start it again",
)
_lost(
    "running program",
    "program",
    "import subprocess\nprogram = subprocess.Popen(['sleep', '60'])",
    "a running program can't be kept: start it again",
)
_restored(
    "finished program's result",
    "import subprocess\nfinished = subprocess.run(['echo', 'hello'], capture_output=True, text=True)",
    "assert finished.stdout == 'hello\\n' and finished.returncode == 0",
)
_lost(
    "socket",
    "sock",
    "import socket\nsock = socket.socket()",
    "a socket can't be kept: connect again",
)
_lost(
    "sqlite3 connection",
    "database",
    "import sqlite3\ndatabase = sqlite3.connect(':memory:')",
    "a connection to a database can't be kept: connect again",
)
_lost(
    "sqlite3 cursor",
    "cursor",
    "import sqlite3\ncursor = sqlite3.connect(':memory:').cursor()",
    "a cursor of a database can't be kept: make it again",
)
_restored(
    "sqlite3 rows as tuples",
    "import sqlite3\nrows = sqlite3.connect(':memory:').execute('select 1, 2').fetchall()",
    "assert rows == [(1, 2)]",
)
_lost(
    "object that holds a connection",
    "repository",
    """
    import sqlite3
    class Repository:
        def __init__(self):
            self.connection = sqlite3.connect(':memory:')
    repository = Repository()
    """,
    "a connection to a database can't be kept: connect again (repository.connection)",
    "assert type(Repository().connection) is sqlite3.Connection",
)
_lost(
    "mmap",
    "mapped_memory",
    "import mmap\nmapped_memory = mmap.mmap(-1, 100)",
    "a memory map can't be kept: map the file again",
)
_restored(
    "logger",
    "import logging\nlogger = logging.getLogger('ours.training')\nlogger.setLevel(logging.DEBUG)\nroot_logger = logging.getLogger()",
    "import logging\nassert logger is logging.getLogger('ours.training') and logger.level == logging.DEBUG and root_logger is logging.getLogger()",
)
_noted(
    "logger with handlers",
    "handled_logger",
    "import logging, sys\nhandled_logger = logging.getLogger('ours.handled')\nhandled_logger.addHandler(logging.StreamHandler(sys.stdout))",
    "import logging\nassert handled_logger is logging.getLogger('ours.handled')\nassert handled_logger.handlers == []",
    "a logger comes back without its handlers",
)
_noted(
    "handler of a logger",
    "stream_handler",
    "import logging, sys\nstream_handler = logging.StreamHandler(sys.stdout)\nstream_handler.setFormatter(logging.Formatter('%(message)s!'))",
    "import logging, sys\nassert stream_handler.stream is sys.stdout and stream_handler.formatter._fmt == '%(message)s!'\nlogging.getLogger('x').addHandler(stream_handler)\nlogging.getLogger('x').warning('hello')",
    "a lock comes back open",
)
_lost(
    "frame",
    "frame",
    "import sys\nframe = sys._getframe()",
    "a frame of running code can't be kept",
)
_lost(
    "traceback",
    "trace",
    """
    try:
        1 / 0
    except ZeroDivisionError as error:
        trace = error.__traceback__
    """,
    "a traceback can't be kept: it holds frames of running code",
)
_restored(
    "IPython's shell, display handle, rich objects",
    """
    from IPython.display import HTML, Markdown, display
    shell = get_ipython()
    handle = display('x', display_id='progress')
    html, markdown = HTML('<b>x</b>'), Markdown('# x')
    """,
    """
    assert shell is get_ipython() and html.data == '<b>x</b>' and markdown.data == '# x'
    handle.update('y')
    assert handle.display_id == 'progress'
    """,
)
_restored(
    "results of cells",
    "made_by_cell = [1, 2, 3]\nmade_by_cell",
    "assert any(value is made_by_cell for value in Out.values())",
)
