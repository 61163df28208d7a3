"""The warm process from which each student's process is forked.

It imports bpfbench once, moves into a network namespace of its own, and then waits for requests.  It never sees an
instructor's notebook, so neither do its children.

    judge  -- 4 descriptors -->  nursery  -- fork -->  child:  job       <- judge    cells, then one case per line
                                    |                          results   -> judge    one line per case
                                    +-- pid, later the exit status       output  -> judge    whatever is printed

`python -m bpfbench.course.nursery FD` is started by grade.py; FD is its end of a socket pair.
"""

from __future__ import annotations

import builtins
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import sys
import types
from typing import Any

from bpfbench.course import sandbox
from bpfbench.course.exercise import attempted
from bpfbench.course.plug import seal

WARM = ("verifier", "program", "isa", "machine", "jit", "interp", "elf", "fixpoint", "jumptable", "nfp")


def main() -> int:
    """Serve until the other end closes."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    control = socket.socket(fileno=int(sys.argv[1]))
    exercises = warm_up()
    die_with_parent()
    readable = sandbox.python_places()
    network = sandbox.isolate_network()
    gc.freeze()
    control.send(json.dumps({"network": network}).encode())
    running: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([control], [], [], 0.05 if running else None)
        if ready:
            message, fds, _, _ = socket.recv_fds(control, 4096, 4)
            if not message:
                return 0
            pid = os.fork()
            if pid == 0:
                control.close()
                for status in running.values():
                    os.close(status)
                child(json.loads(message), fds, exercises, readable)
            os.write(fds[3], f"{pid}\n".encode())
            for fd in fds[:3]:
                os.close(fd)
            running[pid] = fds[3]
        reap(running)


def warm_up() -> dict[str, Any]:
    """Import what an answer may use; afterwards a child needs no file of bpfbench."""
    for package in WARM:
        try:
            top = importlib.import_module(f"bpfbench.{package}")
        except ImportError:
            continue
        for module in pkgutil.walk_packages(top.__path__, top.__name__ + "."):
            try:
                importlib.import_module(module.name)
            except Exception:
                continue                                  # an optional package is missing
    importlib.import_module("bpfbench.execute")
    for name in ("linecache", "traceback", "random", "math", "itertools", "collections", "functools", "networkx"):
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    from bpfbench.course.exercises import all_exercises
    from bpfbench.course.exercises.support import verified

    verified("r0 = 0\nexit")                              # what is imported on first use
    found = all_exercises()
    for ex in found.values():                             # judging is somebody else's
        ex.expected = ex.judge = ex.draw = None
        ex.mistakes, ex.public = (), []
    return found


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)   # PR_SET_PDEATHSIG


def reap(running: dict[int, int]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        fd = running.pop(pid, -1)
        if fd >= 0:
            try:
                os.write(fd, f"{os.waitstatus_to_exitcode(status)}\n".encode())
            except OSError:
                pass                                      # the judge is gone
            os.close(fd)


def child(settings: dict[str, Any], fds: list[int], exercises: dict[str, Any], readable: list[str]) -> None:
    """The student's process: run the cells, then attempt each case.  Never returns."""
    try:
        os.setsid()
        die_with_parent()
        ex = exercises[settings["exercise"]]
        for path in ex.seals:
            seal(path)
        exercises.clear()
        job = os.fdopen(fds[0], "r")
        os.dup2(fds[2], 1)
        os.dup2(fds[2], 2)
        os.close(0)
        os.close(fds[3])
        os.close(fds[2])
        cells = json.loads(job.readline())
        held = sandbox.enter(sandbox.Limits(*settings["limits"]), readable)
        say(fds[1], {"held": held})
        namespace, failure = run_cells(cells)
        say(fds[1], {"failure": failure, "found": ex.answer in namespace})
        answer = namespace.get(ex.answer)
        for line in job:
            got, wrong = attempted(ex, answer, json.loads(line))
            say(fds[1], {"got": got, "failed": wrong})
    except BaseException as error:
        try:
            say(fds[1], {"got": None, "failed": f"{type(error).__name__}: {error}"[:300], "failure": "", "found": False})
        except BaseException:
            pass
    finally:
        os._exit(0)


def say(fd: int, record: dict[str, Any]) -> None:
    raw = json.dumps(record).encode() + b"\n"
    while raw:
        raw = raw[os.write(fd, raw):]


def run_cells(cells: list[str]) -> tuple[dict[str, Any], str]:
    """The namespace after running the code cells, and the first error in words ("" if none)."""
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    namespace = module.__dict__
    namespace["display"] = print
    builtins.get_ipython = _Shell  # type: ignore[attr-defined]
    failure = ""
    for number, source in enumerate(cells, 1):
        try:
            exec(compile(source, f"<code cell {number}>", "exec"), namespace)
        except NotImplementedError:
            continue
        except BaseException as error:
            place = f"code cell {number}" + (f", line {error.lineno}" if isinstance(error, SyntaxError) else "")
            kind = "sys.exit was called" if isinstance(error, SystemExit) else f"{type(error).__name__}: {error}"
            failure = failure or f"{place}: {kind}"[:400]
    return namespace, failure


class _Shell:
    """Magic commands do nothing in a graded run."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None


if __name__ == "__main__":
    sys.exit(main())
