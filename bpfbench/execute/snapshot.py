"""The contents of maps as plain values: to carry them from one memory to another, or between processes."""

from __future__ import annotations

from typing import Any

from bpfbench.interp.map_kinds import (
    Bloom,
    MapOfMaps,
    PerfEvents,
    ProgramArray,
    Queue,
    Redirects,
    RingBuffer,
    StackTraces,
    Storage,
    make_map,
)
from bpfbench.interp.maps import Array, Map
from bpfbench.interp.maps import Hash as HashTable
from bpfbench.interp.memory import Memory
from bpfbench.interp.runtime import Maps
from bpfbench.program.program import MapSpec


class Snapshot:
    """All maps of a run: the shape and the contents of each, in order."""

    __slots__ = ("entries", "cpus")

    def __init__(self, entries: list[tuple[MapSpec, Any]], cpus: int) -> None:
        self.entries = entries
        self.cpus = cpus


def take(maps: Maps) -> Snapshot:
    return Snapshot([(m.spec, contents(m)) for m in maps], maps.cpus)


def give(snapshot: Snapshot, maps: Maps) -> Maps:
    """Make the maps of a snapshot in `maps`."""
    for spec, held in snapshot.entries:
        made = make_map(spec, maps.memory, maps.cpus)
        maps.all.append(made)
        restore(made, held)
    return maps


def moved(given: object, memory: Memory) -> object:
    """The maps of an earlier run copied into `memory`; anything else that is given as maps as it is."""
    if not isinstance(given, Maps) or given.memory is memory:
        return given
    return give(take(given), Maps(memory, given.cpus))


def contents(m: Map) -> Any:
    """What a map holds, without addresses."""
    if isinstance(m, Array):
        return [bytes(r.buf) for r in m.regions]
    if isinstance(m, HashTable):
        return {key: [m.slab.read(slot) for slot in slots] for key, slots in m.slots.items()}
    if isinstance(m, Queue):
        return list(m.values)
    if isinstance(m, Bloom):
        return set(m.values)
    if isinstance(m, RingBuffer):
        return list(m.records), m.produced, m.consumed
    if isinstance(m, PerfEvents):
        return list(m.records)
    if isinstance(m, ProgramArray):
        return dict(m.programs)
    if isinstance(m, MapOfMaps):
        return {key: (inner.spec, contents(inner)) for key, inner in m.inner.items()}
    if isinstance(m, Redirects):
        return contents(m.table)
    if isinstance(m, Storage):
        return {owner: m.slab.read(slot) for owner, slot in m.slots.items()}
    if isinstance(m, StackTraces):
        return dict(m.stacks)
    return dict(m.items())


def restore(m: Map, held: Any) -> None:
    """Put `contents` of a map of the same shape into a new one."""
    if isinstance(m, Array):
        for region, raw in zip(m.regions, held, strict=False):
            region.buf[:] = raw
    elif isinstance(m, HashTable):
        for key, values in held.items():
            m.slots[key] = [m.slab.take() for _ in range(m.cpus)]
            for slot, value in zip(m.slots[key], values, strict=False):
                m.slab.write(slot, value)
    elif isinstance(m, Queue):
        m.values = held
    elif isinstance(m, Bloom):
        m.values = held
    elif isinstance(m, PerfEvents):
        m.records = held
    elif isinstance(m, RingBuffer):
        m.records, m.produced, m.consumed = held
    elif isinstance(m, ProgramArray):
        m.programs = held
    elif isinstance(m, MapOfMaps):
        for key, (spec, inside) in held.items():
            m.inner[key] = make_map(spec, m.memory, m.cpus)
            restore(m.inner[key], inside)
    elif isinstance(m, Redirects):
        restore(m.table, held)
    elif isinstance(m, Storage):
        for owner, value in held.items():
            m.storage(owner, True, value)
    elif isinstance(m, StackTraces):
        m.stacks = held
    else:
        for key, value in held.items():
            m.set(key, value)
