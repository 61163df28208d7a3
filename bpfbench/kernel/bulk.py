"""Many programs, one process: the kernel's verdict on each, with maps shared between programs.

Creating a map costs more than verifying a small program, so programs that describe equal maps get the same ones.
One thread can verify while others wait: bpf(2) runs without the interpreter lock, and `jobs` threads keep as many
processors busy.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from bpfbench.errors import BpfbenchError
from bpfbench.kernel import privileges
from bpfbench.kernel.loaded import MapTable
from bpfbench.kernel.verify import KernelVerdict, verify_with
from bpfbench.program.program import Program


def verify_many(
    programs: Iterable[Program], log_level: int = 0, privileged: bool = True, jobs: int = 1
) -> Iterator[KernelVerdict | BpfbenchError]:
    """The kernel's verdict on each program, in order.  A program whose maps or BTF are refused yields that error.

    >>> import bpfbench as bb
    >>> if bb.kernel.available():
    ...     print([v.accepted for v in verify_many([bb.assemble(t, type="xdp") for t in ("r0 = 0\\nexit", "exit")])])
    ... else:
    ...     print([True, False])
    [True, False]
    """
    if jobs <= 1:
        with MapTable() as maps:
            for prog in programs:
                yield _one(prog, maps, log_level, privileged)
        return
    waiting: deque[Future[KernelVerdict | BpfbenchError]] = deque()
    tables = [MapTable() for _ in range(jobs)]
    initializer = (lambda: None) if privileged else privileges.give_up
    pools = [ThreadPoolExecutor(1, initializer=initializer) for _ in range(jobs)]
    try:
        for number, prog in enumerate(programs):
            lane = number % jobs
            waiting.append(pools[lane].submit(_one, prog, tables[lane], log_level, True))
            if len(waiting) > 4 * jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for pool in pools:
            pool.shutdown(cancel_futures=True)
        for table in tables:
            table.close()


def _one(prog: Program, maps: MapTable, log_level: int, privileged: bool) -> KernelVerdict | BpfbenchError:
    try:
        return verify_with(prog, maps, log_level, privileged)
    except BpfbenchError as e:
        return e
