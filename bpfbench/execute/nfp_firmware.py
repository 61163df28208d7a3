"""The card's firmware, as far as a BPF program meets it: helpers, the end of a packet, control messages.

    helper        given                                          back
    map_lookup    A0 map, LM0 -> key, B0 return address          R0 = address of the value, or 0
    map_update    the same, LM2 -> value, R4 flags               R0 = 0 or -errno
    map_delete    as map_lookup                                  R0 = 0 or -errno
    event_output  R2 map, R3 flags, R4 and R5 bytes, A1 their kind, B0 return address      R0 = 0 or -errno
    done          A0 [31:16] what becomes of the packet

A helper keeps R6-R9, the stack base, the packet length and pointers 0 and 1; everything else is junk when it returns, so
that code which relies on more than the interface fails here.  The cycles that a helper takes are chosen.

Sources: what the driver's bpf/jit.c passes to it; fw.h for the messages.
"""

from __future__ import annotations

from collections.abc import Callable
from errno import EFAULT, EINVAL
from random import Random
from typing import Final, final

from bpfbench.errors import BpfbenchError, NotSupported
from bpfbench.execute import nfp_control as control
from bpfbench.execute.nfp_bus import CardMemory, split
from bpfbench.execute.nfp_control import Cells, Entry, Message
from bpfbench.execute.nfp_state import U32, Context
from bpfbench.interp.map_kinds import make_map
from bpfbench.interp.maps import Map
from bpfbench.program.program import MapSpec

LOOKUP, UPDATE, DELETE, EVENT_OUTPUT = 1, 2, 3, 25
HELPER_CYCLES: Final = {LOOKUP: 250, UPDATE: 400, DELETE: 300, EVENT_OUTPUT: 500}
FROM_SCALAR, FROM_VALUE, FROM_STACK, FROM_PACKET = 1, 4, 6, 8
CURRENT_CPU: Final = 0xFFFFFFFF
PACKET_LENGTH_MASK: Final = 0xFFFFF
CLOBBERED: Final = (*range(2, 12), 20, 21)      # R1-R5 and the temporaries
MAP_TYPES: Final = {"hash": 1, "array": 2}      # numbers of enum bpf_map_type
MAX_KEY, MAX_VALUE, MAX_ELEMENTS, MAX_MAPS = 64, 64, 1 << 20, 64


@final
class Firmware:
    """Maps by the number the card gave them, and the events that wait for the host (encoded messages)."""

    def __init__(self, memory: CardMemory, cells: Cells | None = None, seed: int = 0) -> None:
        self.memory = memory
        self.cells = cells if cells is not None else Cells()
        self.junk = Random(seed)
        self.maps: dict[int, Map] = {}
        self.events: list[bytes] = []
        self.next_map = 0
        self.packet: Callable[[int], bytes | None] = lambda size: None      # the first bytes of the packet

    def adopt(self, m: Map, number: int = -1) -> int:
        """Put a map under the next (or this) number."""
        number = self.next_map if number < 0 else number
        self.maps[number] = m
        self.next_map = max(self.next_map, number + 1)
        return number

    # -------------------------------------------------------------------------------------------------------- helpers
    def helpers(self) -> dict[int, Callable[[Context], None]]:
        """What stands at the address of each helper."""
        return {LOOKUP: self.lookup, UPDATE: self.update, DELETE: self.delete, EVENT_OUTPUT: self.event_output}

    def _map(self, c: Context) -> Map:
        if c.a[0] not in self.maps:
            raise c.hazard("firmware", f"a helper is asked for map {c.a[0]:#x}, which is not on the card")
        return self.maps[c.a[0]]

    @staticmethod
    def local(c: Context, address: int, size: int) -> bytes:
        """Bytes of local memory."""
        first, last = address >> 2, address + size + 3 >> 2
        if address < 0 or last > len(c.local):
            raise c.hazard("firmware", f"{size} bytes at {address:#x} are beyond local memory")
        return b"".join(word.to_bytes(4, "little") for word in c.local[first:last])[address & 3 :][:size]

    def key(self, c: Context, m: Map) -> bytes:
        return self.local(c, c.pointer(0), m.key_size)

    def lookup(self, c: Context) -> None:
        m = self._map(c)
        address = m.lookup(self.key(c, m))
        self.give_back(c, split(address) if address else (0, 0), LOOKUP)

    def update(self, c: Context) -> None:
        m = self._map(c)
        value = self.local(c, c.pointer(2), m.value_size)
        flags = c.a[8] | c.a[9] << 32
        self.give_error(c, m.update(self.key(c, m), value, flags), UPDATE)

    def delete(self, c: Context) -> None:
        m = self._map(c)
        self.give_error(c, m.delete(self.key(c, m)), DELETE)

    def event_output(self, c: Context) -> None:
        """An event goes to the host as a control message; the host knows the map by the number in R2."""
        kind, size = c.a[1], c.a[10]
        flags = c.b[6] | c.b[7] << 32
        if flags & U32 != CURRENT_CPU or flags >> 32 & ~PACKET_LENGTH_MASK:
            self.give_error(c, -EINVAL, EVENT_OUTPUT)
            return
        packet = self.packet(flags >> 32)
        if packet is None:
            self.give_error(c, -EFAULT, EVENT_OUTPUT)
            return
        if kind == FROM_STACK:
            content = self.local(c, c.b[8], size)
        elif kind in (FROM_VALUE, FROM_PACKET):
            content = self.memory.read((c.b[9] << 8) + c.b[8] & (1 << 40) - 1 if kind == FROM_VALUE else c.b[8], size)
        else:
            content = b""
        message = Message(control.EVENT, 0, (0, c.b[4]), [(packet, content)])
        self.events.append(control.encode(message, self.cells))
        self.give_error(c, 0, EVENT_OUTPUT)

    def give_error(self, c: Context, number: int, helper: int) -> None:
        self.give_back(c, (number & U32, number >> 32 & U32), helper)

    def give_back(self, c: Context, pair: tuple[int, int], helper: int) -> None:
        """Return to the program: the result in both banks, junk where the interface promises nothing."""
        back = c.b[0]
        for register in CLOBBERED:
            c.a[register] = c.b[register] = self.junk.getrandbits(32)
        for n, value in enumerate(pair):
            c.a[n] = c.b[n] = value
        for n in range(len(c.xin)):
            c.xin[n], c.xout[n] = self.junk.getrandbits(32), self.junk.getrandbits(32)
        c.point(2, self.junk.randrange(0, 4096, 4))
        c.point(3, self.junk.randrange(0, 4096, 4))
        c.clear_codes()
        c.prev_a = c.prev_res = c.product = None
        c.cycle += HELPER_CYCLES[helper]
        c.waited += HELPER_CYCLES[helper]
        c.pc = back

    # ----------------------------------------------------------------------------------------------- control messages
    def answer(self, raw: bytes) -> bytes:
        """The reply to a request of the host."""
        request = control.decode(raw, self.cells)
        kind = request.type
        if kind == control.ALLOC:
            numbers: tuple[int, ...] = self._allocate(*request.numbers)
        elif kind == control.FREE:
            m = self.maps.pop(request.numbers[0], None)
            numbers = (control.OK, len(m)) if m is not None else (control.BAD_MAP, 0)
        elif kind in control.OPERATIONS:
            return self._operate(request)
        else:
            raise NotSupported(f"control message {request!r} to the card")
        return control.encode(Message(kind | control.REPLY, request.tag, numbers), self.cells)

    def _allocate(self, key: int, value: int, entries: int, kind: int, flags: int) -> tuple[int, int]:
        names = {number: name for name, number in MAP_TYPES.items()}
        if kind not in names or flags or not 0 < key <= self.cells.key or not 0 < value <= self.cells.value:
            return control.MAP_ERROR, 0
        if len(self.maps) >= MAX_MAPS or entries > MAX_ELEMENTS:
            return control.NO_MEMORY, 0
        try:
            made = make_map(MapSpec(names[kind], key, value, entries, name=f"card map {self.next_map}"), self.memory)
        except BpfbenchError:
            return control.NO_MEMORY, 0
        return control.OK, self.adopt(made)

    def _operate(self, request: Message) -> bytes:
        """One map operation; those that go from key to key give up to `count` entries at once."""
        number, count, flags = request.numbers
        m = self.maps.get(number)
        key, value = request.entries[0] if request.entries else (b"", b"")
        code, found = control.BAD_MAP, list[Entry]()
        if m is not None:
            code, found = self._entries(m, request.type, key[: m.key_size], value[: m.value_size], flags, count)
        padding: list[Entry] = [] if code == control.OK else [(b"", b"")]
        reply = Message(request.type | control.REPLY, request.tag, (code, len(found), 0), found + padding)
        return control.encode(reply, self.cells)

    @staticmethod
    def _entries(m: Map, kind: int, key: bytes, value: bytes, flags: int, count: int) -> tuple[int, list[Entry]]:
        if kind == control.UPDATE:
            return control.CODE_OF.get(-m.update(key, value, flags), control.MAP_ERROR), []
        if kind == control.DELETE:
            return control.CODE_OF.get(-m.delete(key), control.MAP_ERROR), []
        if kind == control.LOOKUP:
            keys = [key]
        else:
            keys = m.keys()
            if kind == control.GET_NEXT and key in keys:
                keys = keys[keys.index(key) + 1 :]
            keys = keys[: max(count, 1)]
        found = [(k, held) for k in keys if isinstance(held := m.get(k), bytes)]
        return (control.OK if found else control.NO_ENTRY), found
