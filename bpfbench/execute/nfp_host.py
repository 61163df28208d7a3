"""The host's side of an offloaded program: one card, its maps behind control messages.

    card = Card(prog)                       translated, relocated, loaded; its maps allocated on the card
    card.run(packet)                        a verdict
    card.maps["counts"].lookup(key)         request -> firmware -> reply

Words that the program counts in are big-endian on the card: `HostMap` swaps them on the way in and out.

Source: `nfp_bpf_map_*` of the driver's bpf/offload.c and cmsg.c.
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.errors import ExecuteError, NotSupported
from bpfbench.execute import nfp_control as control
from bpfbench.execute.nfp_bus import CardMemory, headroom_of
from bpfbench.execute.nfp_card import CardResult, Offloaded, deliver, offload, process
from bpfbench.execute.nfp_control import Entry, Message
from bpfbench.execute.nfp_firmware import MAP_TYPES, Firmware
from bpfbench.interp.map_kinds import PerfEvents, make_map
from bpfbench.interp.maps import Map
from bpfbench.interp.runtime import ContextGiven, Maps, surroundings
from bpfbench.nfp.cells import swapped
from bpfbench.program.program import MapSpec, Program

AT_ONCE: Final = 4              # entries that the host asks for at once


@final
class HostMap:
    """A map on the card, by its number there; keys and values are bytes."""

    def __init__(self, card: Card, spec: MapSpec, number: int, atomic: set[int]) -> None:
        self.card = card
        self.spec = spec
        self.name = spec.name
        self.number = number
        self.atomic = atomic

    def _request(self, kind: int, key: bytes = b"", value: bytes = b"", flags: int = 0, count: int = 1) -> Message:
        reply = self.card.request(kind, (self.number, count, flags), [(key, value)])
        if reply.numbers[0] not in (control.OK, control.NO_ENTRY):
            raise ExecuteError(f"map {self.name}: {control.NAMES[kind]} refused with errno "
                               f"{control.ERRNO[reply.numbers[0]]}")  # fmt: skip
        return reply

    def _entry(self, entry: Entry) -> Entry:
        key, value = entry
        return key[: self.spec.key_size], swapped(value[: self.spec.value_size], self.atomic)

    def lookup(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        reply = self._request(control.LOOKUP, key)
        return self._entry(reply.entries[0])[1] if reply.numbers[1] else None

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        """Store a value; ExecuteError with the errno when the card refuses."""
        if len(key) != self.spec.key_size or len(value) != self.spec.value_size:
            raise ExecuteError(f"map {self.name}: an entry is {self.spec.key_size} + {self.spec.value_size} bytes")
        reply = self._request(control.UPDATE, key, swapped(value, self.atomic), flags)
        if reply.numbers[0]:
            raise ExecuteError(f"map {self.name}: update refused with errno {control.ERRNO[reply.numbers[0]]}")

    def delete(self, key: bytes) -> bool:
        """Whether there was such an entry; those of an array cannot be deleted."""
        if self.spec.type == "array":
            raise ExecuteError(f"map {self.name}: entries of an array cannot be deleted")
        return self._request(control.DELETE, key).numbers[0] == control.OK

    def items(self) -> list[Entry]:
        """All entries, in the card's order: get first, then get next from the last key of each reply."""
        found: list[Entry] = []
        reply = self._request(control.GET_FIRST, count=AT_ONCE)
        while reply.numbers[1]:
            found += [self._entry(entry) for entry in reply.entries[: reply.numbers[1]]]
            reply = self._request(control.GET_NEXT, found[-1][0], count=AT_ONCE)
        return found

    def free(self) -> int:
        """Give the map back; the number of entries it had."""
        code, count = self.card.request(control.FREE, (self.number,)).numbers
        if code:
            raise ExecuteError(f"map {self.name}: free refused with errno {control.ERRNO[code]}")
        return count

    def __len__(self) -> int:
        return len(self.items())

    def __repr__(self) -> str:
        return f"<{self.spec.type} {self.name!r}, number {self.number} on the card>"


@final
class Card:
    """A card with one program.

    >>> from bpfbench.program.program import from_assembly
    >>> Card(from_assembly("r0 = 2\\nexit")).run(bytes(64)).verdict
    'pass'
    """

    def __init__(self, program: Program, kernel: str = "bpfbench", without: tuple[str, ...] = (), seed: int = 0) -> None:
        self.program = program
        self.loaded: Offloaded = offload(program, kernel, without)
        self.memory = CardMemory()
        self.memory.headroom = headroom_of(program.type)
        self.firmware = Firmware(self.memory, seed=seed)
        self.tag = 0
        self.maps: dict[str, HostMap] = {}
        self.events: dict[str, PerfEvents] = {}
        self._known = Maps(self.memory)
        for number, spec in enumerate(program.maps):
            self._known.all.append(self._allocate(number, spec))

    def _allocate(self, number: int, spec: MapSpec) -> Map:
        if spec.type not in MAP_TYPES:                          # stays on the host, the program knows its number
            made = make_map(spec, self.memory)
            self.firmware.adopt(made, number)
            if isinstance(made, PerfEvents):
                self.events[spec.name] = made
            return made
        fields = (spec.key_size, spec.value_size, spec.max_entries, MAP_TYPES[spec.type], 0)
        code, tid = self.request(control.ALLOC, fields).numbers
        if code or tid != number:
            raise NotSupported(f"offload to the NFP: the card has no room for map {spec.name or spec.type}")
        self.maps[spec.name or f"map{number}"] = HostMap(self, spec, tid, self.loaded.atomic.get(number, set()))
        made = self.firmware.maps[tid]
        made.spec = spec
        return made

    def request(self, kind: int, numbers: tuple[int, ...], entries: list[Entry] | None = None) -> Message:
        """Send a control message; the reply."""
        self.tag = self.tag + 1 & 0xFFFF
        cells = self.firmware.cells
        reply = control.decode(self.firmware.answer(control.encode(Message(kind, self.tag, numbers, entries), cells)), cells)
        if reply.type != kind | control.REPLY or reply.tag != self.tag:
            raise ExecuteError(f"the card answered {reply!r} to request {self.tag}")
        return reply

    def run(self, data: bytes | str = b"", ctx: ContextGiven = None, trace: bool = False, seed: int = 0) -> CardResult:
        """One packet."""
        runtime = surroundings(self.program, data, ctx, self._known, seed=seed)
        result = process(self.loaded, runtime, self.firmware, trace)
        deliver(self.firmware, list(self._known))
        result.data = runtime.data
        return result
