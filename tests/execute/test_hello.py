"""Hello, JIT: the same two instructions on every host, and what write-xor-execute forbids (slides 7-12)."""

from __future__ import annotations

import platform

import pytest

from bpfbench.errors import UsageError
from bpfbench.execute.hello import Hello, attempts
from bpfbench.jit.targets import TARGETS

pytest.importorskip("unicorn", reason="no Unicorn: pip install unicorn")
ON_HOST = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "aarch64"), reason="native code runs on x86-64 and AArch64 hosts"
)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("value", [0, 42, -1, 0x12345678, -(1 << 31)])
def test_the_code_returns_its_value(target: str, value: int) -> None:
    if target == {"x86_64": "x86_64", "aarch64": "aarch64"}.get(platform.machine()):
        assert Hello(value).run() == value
    assert Hello(value, target).run() == value


def test_the_bytes_are_those_of_the_slide() -> None:
    assert Hello(0, "x86_64").bytes.hex(" ") == "b8 00 00 00 00 c3"


def test_a_value_beyond_32_bits_is_refused() -> None:
    with pytest.raises(UsageError, match="32 bits"):
        Hello(1 << 32)


@ON_HOST
def test_only_the_proper_order_is_allowed() -> None:
    assert [a.allowed for a in attempts()] == [True, False, False, False]
    assert all("SIGSEGV" in a.outcome or "SIGBUS" in a.outcome for a in attempts() if not a.allowed)
