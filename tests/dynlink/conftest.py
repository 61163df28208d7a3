"""The example libraries, and C compiled on the spot where there is a compiler."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from bpfbench import toolchain

LIBRARIES = Path(__file__).resolve().parent.parent.parent / "datasets" / "libraries"
NAMES = ("meter", "checksum", "counters", "headers")


@pytest.fixture(scope="session")
def libraries() -> Path:
    return LIBRARIES


@pytest.fixture(scope="session")
def compiled() -> Callable[[str], bytes]:
    if not toolchain.available():
        pytest.skip("no clang for BPF: install clang-19, or the extra `c`")
    return lambda source: toolchain.compile_object("#include <bpf/helpers.h>\n#include <bpf/library.h>\n" + source)


def udp(source: int = 1000, target: int = 53) -> bytes:
    """A UDP packet of 62 bytes from 10.0.0.1 to 10.0.0.2."""
    ip = bytes([0x45, 0, 0, 40, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2])
    return bytes(12) + b"\x08\x00" + ip + struct.pack(">HHHH", source, target, 20, 0) + bytes(20)
