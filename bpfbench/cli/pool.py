"""Jobs on all cores: worker processes, answers as they come.

    jobs  --job-->  worker 1  --answer-->
      |             worker 2               arrivals: (number, job, answer), whichever is first
      +--job-->     ...

Workers are forked one by one when a job finds none idle, so that a conversation (a line in, an answer out) needs one
process and a folder of objects all.  A worker that dies takes one job with it: its answer is a `Died`, another worker
takes its place.  Ctrl-C reaches the parent alone; when it leaves `arrivals` for any reason, it ends the workers.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from select import select
from typing import Any, final

AHEAD = 128                     # answers that may wait for an earlier one, so that memory stays bounded


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0))


@final
class Died:
    """What comes instead of an answer from a worker that ended in the middle of a job."""

    def __init__(self, status: int | None) -> None:
        self.status = status

    def __str__(self) -> str:
        if self.status is not None and self.status < 0:
            return f"the worker process was ended by {signal.Signals(-self.status).name}"
        return f"the worker process ended with status {self.status}"


@final
class _Worker:
    """One process, and the job it has (`number` -1: none)."""

    def __init__(self, answer: Callable[[Any], Any], others: list[_Worker]) -> None:
        fork = multiprocessing.get_context("fork")
        self.pipe, end = fork.Pipe()
        self.number = -1
        self.job: Any = None
        self.process = fork.Process(target=_work, args=(answer, end, [self.pipe, *(w.pipe for w in others)]), daemon=True)
        self.process.start()
        end.close()

    def give(self, number: int, job: Any) -> None:
        self.number, self.job = number, job
        try:
            self.pipe.send(job)
        except OSError:
            pass                                           # it died idle; taking its answer will say so

    def take(self) -> Any:
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            return Died(self.process.exitcode)


def _work(answer: Callable[[Any], Any], pipe: Connection, foreign: list[Connection]) -> None:
    """The worker's life: until the other end closes.  Ends of other pipes are closed, or nobody would see that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    gc.freeze()
    for other in foreign:
        other.close()
    try:
        while True:
            pipe.send(answer(pipe.recv()))
    except (EOFError, OSError):
        pass


def arrivals(jobs: Iterable[Any], answer: Callable[[Any], Any], processes: int,
             source: int = -1) -> Iterator[tuple[int, Any, Any]]:
    """(number, job, answer) for each job, in the order in which the answers come; numbers count from 0.

    `answer` is called in a forked process, so job and answer have to be picklable; with one process it is called here.
    A job that is None says that there is none yet: more may come when `source`, a file descriptor, is readable.
    """
    if processes == 1:
        number = -1
        for job in jobs:
            if job is None:
                select([source], [], [])
                continue
            number += 1
            yield number, job, answer(job)
        return
    crew: list[_Worker] = []
    try:
        yield from _share(iter(jobs), answer, processes, source, crew)
    finally:
        for worker in crew:
            worker.process.terminate()
        for worker in crew:
            worker.process.join()


def _share(jobs: Iterator[Any], answer: Callable[[Any], Any], processes: int, source: int,
           crew: list[_Worker]) -> Iterator[tuple[int, Any, Any]]:
    given, arrived, oldest = 0, set[int](), 0
    more = True
    while True:
        dry = False
        while more and not dry and given - oldest < AHEAD and (len(crew) < processes or any(w.number < 0 for w in crew)):
            job = next(jobs, StopIteration)
            if job is StopIteration:
                more = False
            elif job is None:
                dry = True
            else:
                idle = next((w for w in crew if w.number < 0), None)
                if idle is None:
                    idle = _Worker(answer, crew)
                    crew.append(idle)
                idle.give(given, job)
                given += 1
        busy = [w for w in crew if w.number >= 0]
        if not busy and not more:
            return
        ready = set(wait([*(w.pipe for w in busy), *([source] if dry else [])]))
        for worker in busy:
            if worker.pipe in ready:
                found, number, job = worker.take(), worker.number, worker.job
                worker.number, worker.job = -1, None
                if isinstance(found, Died):
                    crew.remove(worker)
                arrived.add(number)
                while oldest in arrived:
                    arrived.remove(oldest)
                    oldest += 1
                yield number, job, found


def in_order(found: Iterable[tuple[int, Any, Any]]) -> Iterator[tuple[Any, Any]]:
    """(job, answer) in the order of the jobs; when interrupted, first what had arrived out of turn."""
    held: dict[int, tuple[Any, Any]] = {}
    turn = 0
    try:
        for number, job, answer in found:
            held[number] = (job, answer)
            while turn in held:
                yield held.pop(turn)
                turn += 1
    except KeyboardInterrupt:
        for number in sorted(held):
            yield held[number]
        raise
