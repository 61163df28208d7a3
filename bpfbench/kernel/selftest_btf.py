"""The BTF of the maps of the kernel's verifier tests: words of types and strings, to a blob and cut short.

Kernel: tools/testing/selftests/bpf/test_verifier.c `load_btf_spec`; Documentation/bpf/btf.rst section 2.
"""

from __future__ import annotations

import struct
from typing import Final

from bpfbench.elf.btf_types import HEADER_LEN, MAGIC


def raw_btf(words: list[int], strings: bytes) -> bytes:
    """A little-endian BTF blob of a type section (32-bit words) and a string section (bytes, each string ended by 0)."""
    types = struct.pack(f"<{len(words)}I", *words)
    return struct.pack("<HBBIIIII", MAGIC, 1, 0, HEADER_LEN, 0, len(types), len(types), len(strings)) + types + strings


_EXTRA_WORDS: Final = {1: (1, 0), 3: (3, 0), 4: (0, 3), 5: (0, 3), 6: (0, 2), 13: (0, 2), 14: (1, 0), 15: (0, 3),
                       17: (1, 0), 19: (0, 3)}             # BTF kind: words after the common three, and per entry


def first_types(btf: bytes, count: int) -> bytes:
    """The BTF blob with its first `count` types only: a kernel refuses a blob for any type that it cannot place."""
    size = struct.unpack_from("<I", btf, 12)[0]
    words = struct.unpack_from(f"<{size // 4}I", btf, HEADER_LEN)
    at = 0
    for _ in range(count):
        if at + 3 > len(words):
            return btf
        fixed, each = _EXTRA_WORDS.get(words[at + 1] >> 24 & 31, (0, 0))
        at += 3 + fixed + each * (words[at + 1] & 0xFFFF)
    return raw_btf(list(words[:at]), btf[HEADER_LEN + size:])
