"""Interrupts that wait for the end of a block."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from bpfbench.interrupts import whole


@pytest.fixture(autouse=True)
def interruptible() -> object:
    """A process started in the background may have been told to ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_waits_for_the_end() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), whole():
        signal.raise_signal(signal.SIGINT)
        done.append("all of it")
    assert done == ["all of it"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_while_forking_is_not_lost() -> None:
    """What a fork calls in the parent may not raise: the interpreter prints that and goes on."""
    armed = [True]

    def hook() -> None:
        if armed.pop() if armed else False:
            signal.raise_signal(signal.SIGINT)

    os.register_at_fork(after_in_parent=hook)
    with pytest.raises(KeyboardInterrupt), whole():
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)


def test_other_threads_are_left_alone() -> None:
    seen: list[object] = []

    def work() -> None:
        with whole():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]
