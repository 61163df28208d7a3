"""Stubs: a few instructions for each import, through which compiled code calls it.

A call of an import is an ordinary native call of its stub.  While the import is not bound, the stub says which one it is
and goes to the resolver; the resolver binds it, patches the stub into a jump to the function, and goes there.  From
then on a call costs one jump more than a call inside the module.  Replacing a library patches its stubs again.

    caller            stub, not bound                stub, bound                library
    call stub  --->   number -> r11/x11
                      jump resolver           ==>    jump function  --------->  function
                                                                     returns to the caller

Registers that a function of eBPF takes its arguments in (rdi rsi rdx rcx r8, x0-x4) are not touched; those that a stub
uses (r10, r11; x10, x11) are scratch in every target's code.

| machine | room | not bound                                     | bound                        |
|---------|------|-----------------------------------------------|------------------------------|
| x86_64  | 32   | mov r11d, number; movabs r10, resolver; jmp r10 | movabs r11, function; jmp r11 |
| aarch64 | 32   | movz x11, number; b resolver                  | b function                   |

Source: the procedure linkage table of ELF (System V ABI, chapter 5), with code where that has a table of addresses.
"""

from __future__ import annotations

from typing import Final

from bpfbench.errors import DynlinkError, NotSupported, Where

ROOM: Final = 32
MAX_IMPORTS: Final = 4096
REACH: Final = 1 << 27                  # of AArch64's b, in bytes either way
BRANCH_X10: Final = bytes.fromhex("40011fd6")         # br x10
JUMP_R10: Final = bytes.fromhex("41ffe2")             # jmp r10


def unbound(target: str, at: int, number: int, resolver: int) -> bytes:
    """The stub for import `number`, standing at `at`, that goes to the resolver.

    >>> unbound("aarch64", 0x1000, 3, 0x2000)[:8].hex(" ", 4)
    '6b0080d2 ff030014'
    """
    if target == "x86_64":
        code = b"\x41\xbb" + number.to_bytes(4, "little") + b"\x49\xba" + resolver.to_bytes(8, "little") + JUMP_R10
    elif target == "aarch64":
        code = (0xD2800000 | number << 5 | 11).to_bytes(4, "little") + _branch(at + 4, resolver)
    else:
        raise NotSupported(f"shared libraries on target {target}")
    return code.ljust(ROOM, b"\0")


def bound(target: str, at: int, function: int) -> bytes:
    """The stub that goes to the function.

    >>> bound("x86_64", 0x1000, 0x20000000)[:13].hex()
    '49bb000000200000000041ffe3'
    """
    if target == "x86_64":
        return (b"\x49\xbb" + function.to_bytes(8, "little") + b"\x41\xff\xe3").ljust(ROOM, b"\0")
    if target == "aarch64":
        return _branch(at, function).ljust(ROOM, b"\0")
    raise NotSupported(f"shared libraries on target {target}")


def _branch(at: int, to: int) -> bytes:
    distance = to - at
    if not -REACH <= distance < REACH:
        raise DynlinkError(f"{to:#x} is out of reach of a branch at {at:#x}", Where())
    return (0x14000000 | distance >> 2 & 0x3FFFFFF).to_bytes(4, "little")
