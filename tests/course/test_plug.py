"""A student's function in the place of the engine's, and out again."""

from __future__ import annotations

from types import FunctionType

import pytest

from bpfbench.course.exercises.support import log_lines
from bpfbench.course.plug import locate, plugged, seal
from bpfbench.errors import CourseError
from bpfbench.verifier import tnum, transfer

COMPILED = not isinstance(tnum.add, FunctionType)
TEXT = "r2 = *(u32 *)(r1 +16)\nr2 &= 6\nr3 = 1\nr2 += r3\nr0 = r2\nexit"


def nothing_known(a: tuple[int, int], b: tuple[int, int], bits: int = 64) -> tuple[int, int]:
    return (0, (1 << bits) - 1)


@pytest.mark.skipif(not COMPILED, reason="not compiled, so not permitted to fail: make compile")
def test_a_compiled_engine_is_refused_by_name() -> None:
    with pytest.raises(CourseError, match="bpfbench.verifier.tnum.add was loaded compiled"), \
            plugged("bpfbench.verifier.tnum.add", nothing_known):
        pass


@pytest.mark.skipif(COMPILED, reason="compiled: not permitted to exchange functions")
def test_the_engine_uses_the_answer_and_has_its_own_back_afterwards() -> None:
    before, own = log_lines(TEXT), tnum.add
    with plugged("bpfbench.verifier.tnum.add", nothing_known):
        assert log_lines(TEXT) != before
        assert tnum.add is nothing_known and transfer.tnum.add is nothing_known
    assert tnum.add is own and log_lines(TEXT) == before


@pytest.mark.skipif(COMPILED, reason="compiled: not permitted to exchange functions")
def test_the_engine_has_its_own_back_after_an_error() -> None:
    own = tnum.add

    def fails(*args: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), plugged("bpfbench.verifier.tnum.add", fails):
        log_lines(TEXT)
    assert tnum.add is own


def test_what_is_not_there_is_an_error() -> None:
    for path in ("bpfbench.verifier.tnum.nothing", "bpfbench.nowhere.add"):
        with pytest.raises(CourseError):
            locate(path)


def to_be_sealed() -> int:
    return 7


def test_a_sealed_function_is_empty_for_everybody_who_has_it() -> None:
    kept = to_be_sealed
    seal(f"{__name__}.to_be_sealed")
    with pytest.raises(NotImplementedError):
        kept()
