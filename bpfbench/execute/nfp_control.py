"""Control messages between host and card: how user space reaches the maps of an offloaded program.

    header   | type 8 | version 8 | tag 16 |                            a reply has the type of its request | 0x80
    alloc    key_size value_size max_entries map_type flags             -> rc tid
    free     tid                                                        -> rc count
    others   tid count flags, then per entry  key[K] value[V]           -> rc count reserved, entries
    event    cpu map(64) data_size packet_size, packet (padded to 4), data

All numbers are big-endian words of 32 bits unless marked.  K and V are the firmware's cell sizes, 64 bytes each with
ABI 2.  A reply holds the good entries, and one more when the operation ended with an error.

Source: the driver's bpf/fw.h and bpf/cmsg.c, ccm.h.
"""

from __future__ import annotations

import errno
import struct
from typing import Final, final

from bpfbench.errors import ExecuteError

ALLOC, FREE, LOOKUP, UPDATE, DELETE, GET_NEXT, GET_FIRST, EVENT = range(1, 9)
NAMES: Final = {ALLOC: "alloc", FREE: "free", LOOKUP: "lookup", UPDATE: "update", DELETE: "delete", GET_NEXT: "get next",
                GET_FIRST: "get first", EVENT: "event"}  # fmt: skip
OPERATIONS: Final = (LOOKUP, UPDATE, DELETE, GET_NEXT, GET_FIRST)
REPLY: Final = 0x80
VERSION: Final = 1
HEADER: Final = struct.Struct(">BBH")
OPERATION: Final = struct.Struct(">3I")
FIELDS: Final = {ALLOC: struct.Struct(">5I"), FREE: struct.Struct(">I")}
REPLIES: Final = {ALLOC: struct.Struct(">2I"), FREE: struct.Struct(">2I")}
EVENT_HEAD: Final = struct.Struct(">IQII")

# fmt: off
OK, BAD_MAP, NO_ENTRY, MAP_ERROR, PARSE, EXISTS, NO_MEMORY, TOO_BIG = range(8)
#: The errno that the driver makes of a return code.
ERRNO: Final = {
    OK: 0, BAD_MAP: errno.EBADFD, NO_ENTRY: errno.ENOENT, MAP_ERROR: errno.EINVAL, PARSE: errno.EIO,
    EXISTS: errno.EEXIST, NO_MEMORY: errno.ENOMEM, TOO_BIG: errno.E2BIG,
}
# fmt: on
CODE_OF: Final = {number: code for code, number in ERRNO.items()}

Entry = tuple[bytes, bytes]


@final
class Cells:
    """Sizes of the cells for a key and a value in a message."""

    __slots__ = ("key", "value")

    def __init__(self, key: int = 64, value: int = 64) -> None:
        self.key = key
        self.value = value

    def pack(self, entries: list[Entry]) -> bytes:
        for key, value in entries:
            if len(key) > self.key or len(value) > self.value:
                raise ExecuteError(f"an entry of {len(key)} + {len(value)} bytes; a message has cells of "
                                   f"{self.key} + {self.value}")  # fmt: skip
        return b"".join(key.ljust(self.key, b"\0") + value.ljust(self.value, b"\0") for key, value in entries)

    def unpack(self, raw: bytes) -> list[Entry]:
        size = self.key + self.value
        if len(raw) % size:
            raise ExecuteError(f"control message: {len(raw)} bytes are no whole number of entries of {size}")
        return [(raw[at : at + self.key], raw[at + self.key : at + size]) for at in range(0, len(raw), size)]


@final
class Message:
    """One message, taken apart.

    `numbers`  the words of the body, as the table in the module's text lists them       `entries`  what follows them
    An event has `numbers` (cpu, map) and one entry (packet bytes, data bytes).
    """

    __slots__ = ("type", "tag", "numbers", "entries")

    def __init__(self, type: int, tag: int, numbers: tuple[int, ...], entries: list[Entry] | None = None) -> None:
        self.type = type
        self.tag = tag
        self.numbers = numbers
        self.entries = entries if entries is not None else []

    @property
    def is_reply(self) -> bool:
        return bool(self.type & REPLY)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Message) and (self.type, self.tag, self.numbers, self.entries) == (
            other.type, other.tag, other.numbers, other.entries)  # fmt: skip

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        name = NAMES.get(self.type & ~REPLY, f"type {self.type}")
        return f"<{name}{' reply' if self.is_reply else ''} {self.tag}: {self.numbers}, {len(self.entries)} entries>"


def encode(message: Message, cells: Cells) -> bytes:
    """The bytes of a message.

    >>> encode(Message(FREE, 7, (3,)), Cells()).hex()
    '0201000700000003'
    """
    head = HEADER.pack(message.type, VERSION, message.tag)
    kind = message.type & ~REPLY
    try:
        if kind == EVENT:
            packet, content = message.entries[0]
            body = EVENT_HEAD.pack(*message.numbers, len(content), len(packet))
            return head + body + packet + bytes(-len(packet) % 4) + content
        if kind in OPERATIONS:
            return head + OPERATION.pack(*message.numbers) + cells.pack(message.entries)
        return head + (REPLIES if message.is_reply else FIELDS)[kind].pack(*message.numbers)
    except (struct.error, KeyError, IndexError):
        raise ExecuteError(f"control message {message!r} has the wrong fields") from None


def decode(raw: bytes, cells: Cells) -> Message:
    """Bytes taken apart; ExecuteError when they are no message."""
    if len(raw) < HEADER.size:
        raise ExecuteError(f"control message of {len(raw)} bytes is shorter than its header")
    type, version, tag = HEADER.unpack_from(raw)
    kind, body = type & ~REPLY, raw[HEADER.size :]
    if version != VERSION or kind not in NAMES:
        raise ExecuteError(f"control message of type {type}, version {version} is not known")
    try:
        if kind == EVENT:
            return _event(tag, body)
        if kind in OPERATIONS:
            return Message(type, tag, OPERATION.unpack_from(body), cells.unpack(body[OPERATION.size :]))
        return Message(type, tag, (REPLIES if type & REPLY else FIELDS)[kind].unpack(body))
    except struct.error:
        raise ExecuteError(f"control message {NAMES[kind]}: {len(body)} bytes of body are not what it has") from None


def _event(tag: int, body: bytes) -> Message:
    cpu, number, data_size, packet_size = EVENT_HEAD.unpack_from(body)
    start = EVENT_HEAD.size
    data_at = start + packet_size + -packet_size % 4
    if len(body) != data_at + data_size:
        raise ExecuteError(f"event of {len(body)} bytes; its sizes say {data_at + data_size}")
    return Message(EVENT, tag, (cpu, number), [(body[start : start + packet_size], body[data_at:])])
