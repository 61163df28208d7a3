"""A child process that answers requests for as long as its parent wants.

    parent   ask(request) --pickle--> pipe --> child: handle(request) --pickle--> pipe --> answer, or ExecuteError

Native code runs in the child alone, so a mistake in code generation ends the child and not the caller; what the child
built (images, maps, patched stubs) stays there between requests.  Errors of the package travel back and are raised in the
parent; a child that dies or does not answer in time is an ExecuteError that says how.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import resource
import select
import signal
import time
from collections.abc import Callable
from typing import Any, NoReturn, final

from bpfbench.errors import BpfbenchError, ExecuteError

HEAD = 8                            # bytes of a message's length


@final
class Child:
    """The parent's end.

    >>> def handler() -> Callable[[Any], Any]:
    ...     seen = []
    ...     return lambda request: seen.append(request) or len(seen)
    >>> child = Child(handler)
    >>> child.ask("a"), child.ask("b"), child.close()
    (1, 2, None)
    """

    __slots__ = ("pid", "_to", "_from", "seconds")

    def __init__(self, make: Callable[[], Callable[[Any], Any]], seconds: float = 10.0) -> None:
        self.seconds = seconds
        self.pid = 0
        child_reads, self._to = os.pipe()
        self._from, child_writes = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._to)
            os.close(self._from)
            _serve(make, child_reads, child_writes)
        os.close(child_reads)
        os.close(child_writes)

    def ask(self, request: Any) -> Any:
        """Send a request and wait for its answer."""
        if not self.pid:
            raise ExecuteError("the process has ended")
        raw = pickle.dumps(request)
        try:
            _write(self._to, len(raw).to_bytes(HEAD, "little") + raw)
            head = _read(self._from, HEAD, time.monotonic() + self.seconds)
            answer = head and _read(self._from, int.from_bytes(head, "little"), time.monotonic() + self.seconds)
        except BrokenPipeError:
            answer = b""
        if not answer:
            raise self._lost(answer)
        found = pickle.loads(answer)
        if isinstance(found, BpfbenchError):
            raise found
        return found

    def _lost(self, answer: bytes | None) -> ExecuteError:
        if answer is None:
            os.kill(self.pid, signal.SIGKILL)
        status = os.waitpid(self.pid, 0)[1]
        self._end()
        if answer is None:
            return ExecuteError(f"the native program did not end in {self.seconds:g} s")
        how = f"signal {os.WTERMSIG(status)} ({signal.Signals(os.WTERMSIG(status)).name})" if os.WIFSIGNALED(status) \
            else f"exit status {os.WEXITSTATUS(status)}"
        return ExecuteError(f"the native program crashed: {how}")

    def _end(self) -> None:
        os.close(self._to)
        os.close(self._from)
        self.pid = 0

    def close(self) -> None:
        """End the child."""
        if self.pid:
            pid = self.pid
            self._end()
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:               # this process is another child, with a copy of the parent's end
                pass

    def __del__(self) -> None:
        if getattr(self, "pid", 0):
            self.close()


def _serve(make: Callable[[], Callable[[Any], Any]], reads: int, writes: int) -> NoReturn:
    """The child's part: answer until the parent closes its end."""
    status = 1
    faulthandler.disable()                           # the parent reports the crash
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        handle: Callable[[Any], Any] | None = None
        while True:
            head = _read(reads, HEAD, None)
            if not head:
                break
            request = pickle.loads(_read(reads, int.from_bytes(head, "little"), None) or b"")
            try:
                handle = handle if handle is not None else make()
                answer = handle(request)
            except BpfbenchError as error:
                answer = error
            raw = pickle.dumps(answer)
            _write(writes, len(raw).to_bytes(HEAD, "little") + raw)
        status = 0
    finally:
        os._exit(status)


def _write(to: int, raw: bytes) -> None:
    while raw:
        raw = raw[os.write(to, raw) :]


def _read(source: int, size: int, deadline: float | None) -> bytes | None:
    """`size` bytes; b"" when the other end closed, None when it takes too long."""
    parts = b""
    while len(parts) < size:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and (left <= 0 or not select.select([source], [], [], left)[0]):
            return None
        part = os.read(source, size - len(parts))
        if not part:
            return b""
        parts += part
    return parts
