"""printf as bpf programs have it: the conversions that kernel/bpf/helpers.c (`bpf_bprintf_prepare`) lets through."""

from __future__ import annotations

import re
from typing import Final

from bpfbench.interp.memory import Memory
from bpfbench.interp.runtime import sign
from bpfbench.interp.trap import ProgramFault

# flags and width, then a pointer with its kind, a string, a character, or an integer with its length
CONVERSION: Final = re.compile(
    rb"%(?:%|(?P<spec>[-0+# ]*\d*)(?:"
    rb"(?P<pointer>p(?:[KxsSB]|[ku]s|[iI][46])?)|(?P<char>[sc])|(?P<length>ll|l)?(?P<int>[diuxX])))"
)


def format_text(memory: Memory, fmt: bytes, arguments: list[int]) -> bytes | None:
    """The formatted text without its end, or None for a format the kernel refuses.

    >>> format_text(Memory(), b"%d of 0x%lx\\0", [U for U in (2**64 - 1, 255)])
    b'-1 of 0xff'
    """
    if b"\0" not in fmt:
        return None
    fmt = fmt.split(b"\0")[0]
    if any(c > 127 or (c < 32 and c not in b"\t\n\r\v\f\a\b\x1b") for c in fmt):
        return None
    out = b""
    at = 0
    left = list(arguments)
    for match in CONVERSION.finditer(fmt):
        plain = fmt[at : match.start()]
        if b"%" in plain:
            return None
        out += plain + _converted(memory, match, left)
        at = match.end()
    return None if b"%" in fmt[at:] else out + fmt[at:]


def _converted(memory: Memory, match: re.Match[bytes], left: list[int]) -> bytes:
    if match.group() == b"%%":
        return b"%"
    value = left.pop(0) if left else 0
    spec = (match.group("spec") or b"").decode()
    pointer = (match.group("pointer") or b"").decode()
    if match.group("int"):
        bits = 64 if match.group("length") else 32
        letter = match.group("int").decode()
        number = sign(value, bits) if letter in "di" else value & ((1 << bits) - 1)
        return f"%{spec}{'d' if letter in 'diu' else letter}".encode() % number
    if match.group("char") == b"c":
        return bytes([value & 0xFF])
    if match.group("char") == b"s" or pointer in ("pks", "pus"):
        return _string(memory, value, spec)
    if pointer[1:2] in ("i", "I"):
        return _address(memory, value, pointer)
    return b"%016x" % value


def _string(memory: Memory, address: int, spec: str) -> bytes:
    try:
        text = memory.read_string(address, 512)
    except ProgramFault:
        text = b""
    width = int(spec.strip("-0+# ") or 0)
    return text.ljust(width) if "-" in spec else text.rjust(width)


def _address(memory: Memory, address: int, pointer: str) -> bytes:
    """%pI4 and the like: an IP address in memory."""
    try:
        raw = memory.read(address, 4 if pointer[2] == "4" else 16)
    except ProgramFault:
        return b"(efault)"
    if len(raw) == 4:
        return ".".join(f"{b:03d}" if pointer[1] == "i" else str(b) for b in raw).encode()
    groups = [raw[at : at + 2].hex() for at in range(0, 16, 2)]
    return ("".join(groups) if pointer[1] == "i" else ":".join(groups)).encode()
