"""bpf(2), one function per command: the only module that enters the kernel.

Every command of bpf(2) takes one attribute block, `union bpf_attr`, whose layout depends on the command.  Here each
block is one `struct` format beside the call that packs it.  Commands that attach a program to anything do not appear,
so nothing in bpfbench can attach one.

    user space                                  kernel
    create_map(...)   -- BPF_MAP_CREATE  ->     a map, held by a descriptor
    load_btf(...)     -- BPF_BTF_LOAD    ->     types for functions, lines and map values
    load_program(...) -- BPF_PROG_LOAD   ->     the verifier, then the JIT
    program_details() -- BPF_OBJ_GET_INFO_BY_FD -> rewritten instructions and machine code
    test_run(...)     -- BPF_PROG_TEST_RUN ->   one run on given input

Sources: bpf(2); `include/uapi/linux/bpf.h` (union bpf_attr, struct bpf_prog_info); `kernel/bpf/syscall.c` (__sys_bpf).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from typing import Final, final

from bpfbench.errors import KernelError, NotSupported, UsageError
from bpfbench.kernel import uapi
from bpfbench.program.program import MAP_TYPES

# Number of bpf(2) per machine (arch/*/include/asm/unistd*.h)
SYSCALL_NUMBER: Final = {
    "x86_64": 321, "i686": 357, "i386": 357, "aarch64": 280, "riscv64": 280, "loongarch64": 280, "armv7l": 386,
    "armv6l": 386, "ppc64le": 361, "ppc64": 361, "s390x": 351, "mips64": 5315, "sparc64": 349,
}  # fmt: skip

# union bpf_attr, per command
_MAP_CREATE: Final = struct.Struct("=IIIIIII16sIIIIIQii")
_MAP_ELEM: Final = struct.Struct("=I4xQQQ")
_PROG_LOAD: Final = struct.Struct("=IIQQIIQII16sIIIIQIIQIIIIQQIIiI")
_TEST_RUN: Final = struct.Struct("=IIIIQQIIIIQQIII4x")
_BTF_LOAD: Final = struct.Struct("=QQIIIIIi")
_INFO: Final = struct.Struct("=IIQ")
_FD: Final = struct.Struct("=I")

_LOG_TRUE_SIZE: Final = 140  # offset of log_true_size in the PROG_LOAD block

# struct bpf_prog_info: offsets of the fields that are asked for
_INFO_SIZE: Final = 232
_JITED_LEN, _XLATED_LEN, _JITED, _XLATED, _NR_MAPS, _MAP_IDS = 16, 20, 24, 32, 52, 56
_NR_KSYMS, _NR_FUNC_LENS, _KSYMS, _FUNC_LENS = 104, 108, 112, 120
_NR_JITED_LINES, _JITED_LINES, _JITED_LINE_SIZE = 168, 160, 176
_VERIFIED_INSNS: Final = 216

_libc: Final = ctypes.CDLL(None, use_errno=True)


@final
class Fd:
    """A file descriptor that closes itself at the end of a `with` block (or when it is dropped)."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def close(self) -> None:
        if self.number >= 0:
            os.close(self.number)
            self.number = -1

    def __enter__(self) -> Fd:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Fd({self.number})"


@final
class ProgramDetails:
    """What the kernel keeps of a loaded program (struct bpf_prog_info).

    `xlated` rewritten eBPF slots · `image` machine code of all functions, in order · `lengths` bytes per function ·
    `addresses` where each was loaded · `map_ids` the kernel's numbers of the maps used · `line_addresses` per
    line record the address of its first machine instruction · `verified_insns` processed instructions.
    """

    __slots__ = ("xlated", "image", "lengths", "addresses", "map_ids", "line_addresses", "verified_insns")

    def __init__(
        self, xlated: bytes, image: bytes, lengths: list[int], addresses: list[int], map_ids: list[int],
        line_addresses: list[int], verified_insns: int,
    ) -> None:  # fmt: skip
        self.xlated = xlated
        self.image = image
        self.lengths = lengths
        self.addresses = addresses
        self.map_ids = map_ids
        self.line_addresses = line_addresses
        self.verified_insns = verified_insns


def _enter(command: int, attr: ctypes.Array[ctypes.c_char]) -> int:
    """One bpf(2) call; the result, or minus the errno.  EAGAIN (a signal interrupted the verifier) is retried."""
    number = SYSCALL_NUMBER.get(platform.machine())
    if number is None:
        raise NotSupported(f"bpf(2) on {platform.system()} {platform.machine()}")
    for _ in range(8):
        result = int(_libc.syscall(number, command, attr, len(attr)))
        if result >= 0:
            return result
        code = ctypes.get_errno()
        if code not in (errno.EAGAIN, errno.EINTR) or command not in (uapi.PROG_LOAD, uapi.PROG_TEST_RUN):
            return -code
    return -code


def _block(packed: bytes) -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(packed, len(packed))


def _u32(raw: bytes, at: int) -> int:
    return int.from_bytes(raw[at : at + 4], sys.byteorder)


def _checked(command: int, packed: bytes, what: str) -> int:
    result = _enter(command, _block(packed))
    if result < 0:
        raise refused(command, -result, what)
    return result


def refused(command: int, code: int, what: str, log: str = "", said: list[str] | None = None) -> KernelError:
    """The error for a refused call: which command, on what, with which errno, and what the kernel `said`."""
    reason = f"{uapi.errno_name(code)} ({os.strerror(code)})"
    text = ": ".join([f"{uapi.COMMAND_NAMES[command]} {what}".strip(), reason, *(said or [])])
    return KernelError(text, errno=code, log=log)


def _name(name: str) -> bytes:
    """A kernel object name: at most 15 characters of [A-Za-z0-9_.]."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "_.") else "_" for c in name)[:15].encode()


# --- maps ------------------------------------------------------------------------------------------------------------


def create_map(
    kind: int, key_size: int, value_size: int, max_entries: int, flags: int = 0, name: str = "", inner_fd: int = 0,
    btf_fd: int = 0, btf_key: int = 0, btf_value: int = 0, extra: int = 0, vmlinux_value: int = 0,
) -> Fd:  # fmt: skip
    """BPF_MAP_CREATE.  Sizes in bytes; `inner_fd` is the model of a map of maps; raises KernelError."""
    try:
        packed = _MAP_CREATE.pack(
            kind, key_size, value_size, max_entries, flags, inner_fd, 0, _name(name), 0,
            btf_fd, btf_key, btf_value, vmlinux_value, extra, 0, 0,
        )  # fmt: skip
    except struct.error:
        raise UsageError(f"map '{name}': sizes, entries and flags are 32-bit numbers") from None
    kind_name = MAP_TYPES[kind] if 0 <= kind < len(MAP_TYPES) else str(kind)
    return Fd(_checked(uapi.MAP_CREATE, packed, f"of {kind_name} map '{name}'"))


def update(map_fd: int, key: bytes, value: bytes, flags: int = 0) -> None:
    """BPF_MAP_UPDATE_ELEM; an empty key is passed as a null pointer (queue, stack, bloom filter)."""
    k, v = _block(key), _block(value)
    packed = _MAP_ELEM.pack(map_fd, ctypes.addressof(k) if key else 0, ctypes.addressof(v), flags)
    _checked(uapi.MAP_UPDATE_ELEM, packed, f"of key {key.hex() or '(none)'}")


def lookup(map_fd: int, key: bytes, value_bytes: int) -> bytes | None:
    """BPF_MAP_LOOKUP_ELEM: the value of `value_bytes` bytes, or None where there is no such key."""
    k, v = _block(key), ctypes.create_string_buffer(value_bytes)
    packed = _MAP_ELEM.pack(map_fd, ctypes.addressof(k) if key else 0, ctypes.addressof(v), 0)
    result = _enter(uapi.MAP_LOOKUP_ELEM, _block(packed))
    if result == -errno.ENOENT:
        return None
    if result < 0:
        raise refused(uapi.MAP_LOOKUP_ELEM, -result, f"of key {key.hex() or '(none)'}")
    return v.raw


def pop(map_fd: int, value_bytes: int) -> bytes | None:
    """BPF_MAP_LOOKUP_AND_DELETE_ELEM of a queue or stack: the next value, or None when it is empty."""
    v = ctypes.create_string_buffer(value_bytes)
    result = _enter(uapi.MAP_LOOKUP_AND_DELETE_ELEM, _block(_MAP_ELEM.pack(map_fd, 0, ctypes.addressof(v), 0)))
    if result == -errno.ENOENT:
        return None
    if result < 0:
        raise refused(uapi.MAP_LOOKUP_AND_DELETE_ELEM, -result, "")
    return v.raw


def keys(map_fd: int, key_size: int, limit: int = 1 << 20) -> list[bytes]:
    """All keys of a map, by BPF_MAP_GET_NEXT_KEY."""
    found: list[bytes] = []
    following = ctypes.create_string_buffer(key_size)
    previous = 0
    while len(found) < limit:
        packed = _MAP_ELEM.pack(map_fd, previous, ctypes.addressof(following), 0)
        result = _enter(uapi.MAP_GET_NEXT_KEY, _block(packed))
        if result == -errno.ENOENT:
            break
        if result < 0:
            raise refused(uapi.MAP_GET_NEXT_KEY, -result, "")
        found.append(following.raw)
        current = ctypes.create_string_buffer(following.raw, key_size)
        previous = ctypes.addressof(current)
    return found


def freeze(map_fd: int) -> None:
    """BPF_MAP_FREEZE: user space may not write the map any more (.rodata)."""
    _checked(uapi.MAP_FREEZE, _FD.pack(map_fd), "")


# --- types and programs ----------------------------------------------------------------------------------------------


def load_btf(blob: bytes) -> Fd:
    """BPF_BTF_LOAD of a raw BTF blob; a refusal carries the kernel's BTF log."""
    data, log = _block(blob), ctypes.create_string_buffer(1 << 16)
    plain = _block(_BTF_LOAD.pack(ctypes.addressof(data), 0, len(blob), 0, 0, 0, 0, 0))
    result = _enter(uapi.BTF_LOAD, plain)
    if result >= 0:
        return Fd(result)
    again = _BTF_LOAD.pack(ctypes.addressof(data), ctypes.addressof(log), len(blob), len(log), 1, 0, 0, 0)
    _enter(uapi.BTF_LOAD, _block(again))
    text = log.value.decode("utf-8", "replace")
    raise refused(uapi.BTF_LOAD, -result, f"of {len(blob)} bytes", text, text.strip().splitlines()[-1:])


@final
class Loading:
    """The arguments of BPF_PROG_LOAD, ready to be passed any number of times with different log levels."""

    __slots__ = (
        "kind", "insns", "license", "name", "attach_type", "flags", "btf_fd", "func_info", "line_info",
        "attach_btf_id", "attach_fd", "fd_array",
    )  # fmt: skip

    def __init__(
        self, kind: int, insns: bytes, license: str, name: str = "", attach_type: int = 0, flags: int = 0,
        btf_fd: int = 0, func_info: bytes = b"", line_info: bytes = b"", attach_btf_id: int = 0, attach_fd: int = 0,
        fd_array: list[int] | None = None,
    ) -> None:  # fmt: skip
        self.kind = kind
        self.insns = insns
        self.license = license
        self.name = name
        self.attach_type = attach_type
        self.flags = flags
        self.btf_fd = btf_fd
        self.func_info = func_info
        self.line_info = line_info
        self.attach_btf_id = attach_btf_id
        self.attach_fd = attach_fd
        self.fd_array = fd_array if fd_array is not None else []


FUNC_INFO_SIZE: Final = 8  # struct bpf_func_info
LINE_INFO_SIZE: Final = 16  # struct bpf_line_info


def load_program(p: Loading, log_level: int = 0, log_size: int = 1 << 16) -> tuple[int, bytes, int]:
    """BPF_PROG_LOAD once: (descriptor or minus errno, log, bytes the whole log would have taken).

    Nothing is raised: a refused program is an answer.  The descriptor belongs to the caller.
    """
    insns, license = _block(p.insns), _block(p.license.encode("utf-8", "replace") + b"\0")
    functions, lines = _block(p.func_info), _block(p.line_info)
    fds = (ctypes.c_int * max(len(p.fd_array), 1))(*p.fd_array)
    log = ctypes.create_string_buffer(log_size) if log_level else None
    with_btf = p.btf_fd > 0
    if max(p.attach_type, p.flags) >= 1 << 32:
        raise UsageError(f"program '{p.name}': attach type and flags are 32-bit numbers")
    attr = _block(_PROG_LOAD.pack(
        p.kind, len(p.insns) // 8, ctypes.addressof(insns), ctypes.addressof(license),
        log_level, log_size if log is not None else 0, ctypes.addressof(log) if log is not None else 0,
        0, p.flags, _name(p.name), 0, p.attach_type, p.btf_fd,
        FUNC_INFO_SIZE if with_btf and p.func_info else 0, ctypes.addressof(functions) if p.func_info else 0,
        len(p.func_info) // FUNC_INFO_SIZE if with_btf else 0,
        LINE_INFO_SIZE if with_btf and p.line_info else 0, ctypes.addressof(lines) if p.line_info else 0,
        len(p.line_info) // LINE_INFO_SIZE if with_btf else 0,
        p.attach_btf_id, p.attach_fd, 0, ctypes.addressof(fds) if p.fd_array else 0, 0, 0, 0, 0, 0,
    ))  # fmt: skip
    result = _enter(uapi.PROG_LOAD, attr)
    if log is None:
        return result, b"", 0
    return result, log.value, _u32(attr.raw, _LOG_TRUE_SIZE)


def program_details(fd: int, code: bool = True) -> ProgramDetails:
    """BPF_OBJ_GET_INFO_BY_FD of a program; with `code` also its rewritten slots and machine code."""
    head = _program_block(fd, ctypes.create_string_buffer(_INFO_SIZE))
    sizes = {name: _u32(head.raw, at) for name, at in (
        ("jited", _JITED_LEN), ("xlated", _XLATED_LEN), ("maps", _NR_MAPS), ("ksyms", _NR_KSYMS),
        ("lens", _NR_FUNC_LENS), ("lines", _NR_JITED_LINES))}  # fmt: skip
    if not code:
        sizes["jited"] = sizes["xlated"] = sizes["lines"] = 0
    room = {
        "jited": ctypes.create_string_buffer(max(sizes["jited"], 1)),
        "xlated": ctypes.create_string_buffer(max(sizes["xlated"], 1)),
        "maps": ctypes.create_string_buffer(max(4 * sizes["maps"], 1)),
        "ksyms": ctypes.create_string_buffer(max(8 * sizes["ksyms"], 1)),
        "lens": ctypes.create_string_buffer(max(4 * sizes["lens"], 1)),
        "lines": ctypes.create_string_buffer(max(8 * sizes["lines"], 1)),
    }
    ask = bytearray(_INFO_SIZE)
    for name, length_at, pointer_at in (
        ("jited", _JITED_LEN, _JITED), ("xlated", _XLATED_LEN, _XLATED), ("maps", _NR_MAPS, _MAP_IDS),
        ("ksyms", _NR_KSYMS, _KSYMS), ("lens", _NR_FUNC_LENS, _FUNC_LENS), ("lines", _NR_JITED_LINES, _JITED_LINES),
    ):  # fmt: skip
        struct.pack_into("=I", ask, length_at, sizes[name])
        struct.pack_into("=Q", ask, pointer_at, ctypes.addressof(room[name]) if sizes[name] else 0)
    if sizes["lines"]:
        struct.pack_into("=I", ask, _JITED_LINE_SIZE, 8)
    full = _program_block(fd, ctypes.create_string_buffer(bytes(ask), _INFO_SIZE)).raw
    return ProgramDetails(
        xlated=room["xlated"].raw[: sizes["xlated"]],
        image=room["jited"].raw[: sizes["jited"]],
        lengths=list(struct.unpack_from(f"={sizes['lens']}I", room["lens"].raw)),
        addresses=list(struct.unpack_from(f"={sizes['ksyms']}Q", room["ksyms"].raw)),
        map_ids=list(struct.unpack_from(f"={sizes['maps']}I", room["maps"].raw)),
        line_addresses=list(struct.unpack_from(f"={sizes['lines']}Q", room["lines"].raw)),
        verified_insns=_u32(full, _VERIFIED_INSNS),
    )


def _program_block(fd: int, block: ctypes.Array[ctypes.c_char]) -> ctypes.Array[ctypes.c_char]:
    _checked(uapi.OBJ_GET_INFO_BY_FD, _INFO.pack(fd, _INFO_SIZE, ctypes.addressof(block)), "of a program")
    return block


def map_id(fd: int) -> int:
    """The kernel's number of a map (struct bpf_map_info.id), which rewritten programs show in place of descriptors."""
    block = ctypes.create_string_buffer(88)
    _checked(uapi.OBJ_GET_INFO_BY_FD, _INFO.pack(fd, 88, ctypes.addressof(block)), "of a map")
    return _u32(block.raw, 4)


def test_run(
    fd: int, data: bytes, ctx: bytes, repeat: int, data_room: int, ctx_room: int
) -> tuple[int, bytes, bytes, int]:
    """BPF_PROG_TEST_RUN: (return value, data after, context after, nanoseconds per run); raises KernelError."""
    data_in, ctx_in = _block(data), _block(ctx)
    data_out, ctx_out = ctypes.create_string_buffer(max(data_room, 1)), ctypes.create_string_buffer(max(ctx_room, 1))
    attr = _block(_TEST_RUN.pack(
        fd, 0, len(data), data_room, ctypes.addressof(data_in) if data else 0,
        ctypes.addressof(data_out) if data_room else 0, repeat, 0, len(ctx), ctx_room,
        ctypes.addressof(ctx_in) if ctx else 0, ctypes.addressof(ctx_out) if ctx_room else 0, 0, 0, 0,
    ))  # fmt: skip
    result = _enter(uapi.PROG_TEST_RUN, attr)
    if result < 0:
        raise refused(uapi.PROG_TEST_RUN, -result, f"with {len(data)} bytes of data, {len(ctx)} of context")
    fields = _TEST_RUN.unpack(attr.raw)
    ctx_after = ctx_out.raw[: min(fields[9], ctx_room)] if ctx_room else ctx_in.raw  # syscall programs write in place
    return fields[1], data_out.raw[: min(fields[3], data_room)], ctx_after, fields[7]
