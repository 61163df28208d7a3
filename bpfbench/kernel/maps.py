"""Contents of kernel maps as plain dictionaries of bytes.

| map | contents |
|---|---|
| array, hash, LRU, LPM trie | key -> value |
| per-CPU kinds | key -> list of values, one per possible CPU |
| queue, stack | successive values under the keys 0, 1, … (reading removes them) |
| maps of maps, program array, … | key -> the kernel's number of what is stored there, 4 bytes |
| ring buffer, perf event array | nothing; they are read through mmap(2), which bpfbench does not do |
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from bpfbench.errors import UsageError
from bpfbench.kernel import syscall, uapi
from bpfbench.program.program import MapSpec

Value = bytes | list[bytes]
Contents = dict[bytes, Value]


def possible_cpus() -> int:
    """How many CPUs the kernel could have: a per-CPU value is stored that many times."""
    try:
        with open("/sys/devices/system/cpu/possible", encoding="ascii") as f:
            last = re.findall(r"\d+", f.read())[-1]
    except (OSError, IndexError):
        return 1
    return int(last) + 1


def slot_size(spec: MapSpec) -> int:
    """Bytes that one value takes in a lookup: per-CPU values are padded to eight and repeated."""
    if spec.type in uapi.PERCPU_MAPS:
        return (spec.value_size + 7 & ~7) * possible_cpus()
    return 4 if spec.type in uapi.FD_MAPS else spec.value_size


def read(fd: int, spec: MapSpec) -> Contents:
    """Everything that is in a map; see the table above for the form of each kind."""
    if spec.type in ("queue", "stack"):
        values: Contents = {}
        while (value := syscall.pop(fd, spec.value_size)) is not None:
            values[len(values).to_bytes(4, "little")] = value
        return values
    if spec.type in uapi.KEYLESS_MAPS or spec.type in ("perf_event_array", "cgroup_array", "sockmap", "sockhash"):
        return {}
    found: Contents = {}
    for key in syscall.keys(fd, spec.key_size):
        raw = syscall.lookup(fd, key, slot_size(spec))
        if raw is not None:
            found[key] = _per_cpu(raw, spec) if spec.type in uapi.PERCPU_MAPS else raw
    return found


def _per_cpu(raw: bytes, spec: MapSpec) -> list[bytes]:
    step = spec.value_size + 7 & ~7
    return [raw[at : at + spec.value_size] for at in range(0, len(raw), step)]


def write(fd: int, spec: MapSpec, contents: Mapping[bytes, Value]) -> None:
    """Put entries into a map.  A single value of a per-CPU map is written to every CPU."""
    for key, value in contents.items():
        if spec.type in uapi.PERCPU_MAPS:
            each = value if isinstance(value, list) else [value] * possible_cpus()
            value = b"".join(v.ljust(spec.value_size + 7 & ~7, b"\0") for v in each)
        elif isinstance(value, list):
            raise UsageError(f"map '{spec.name}' ({spec.type}) takes one value per key, not one per CPU")
        keyless = spec.type in ("queue", "stack", "bloom_filter")
        syscall.update(fd, b"" if keyless else key, value)
