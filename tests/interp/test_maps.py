"""Maps: each kind's rules, by its errno where the kernel has one."""

from __future__ import annotations

from errno import E2BIG, EEXIST, EINVAL, ENOENT, ENOSPC

import pytest

from bpfbench import interp
from bpfbench.errors import InterpError, NotSupported
from bpfbench.interp.map_kinds import Bloom, Queue, RingBuffer, Trie, make_map
from bpfbench.interp.maps import BPF_ANY, BPF_EXIST, BPF_NOEXIST, Map
from bpfbench.interp.memory import Memory
from bpfbench.program.program import MapSpec, from_assembly


def made(kind: str, key: int = 4, value: int = 8, entries: int = 2, flags: int = 0) -> Map:
    return make_map(MapSpec(kind, key, value, entries, flags, name="m"), Memory())


def k(n: int) -> bytes:
    return n.to_bytes(4, "little")


def v(n: int) -> bytes:
    return n.to_bytes(8, "little")


def test_array() -> None:
    m = made("array")
    assert m.update(k(1), v(5), BPF_ANY) == 0 and m.get(1) == v(5)
    assert m.update(k(1), v(5), BPF_NOEXIST) == -EEXIST
    assert m.update(k(2), v(5), BPF_ANY) == -E2BIG
    assert m.update(k(1), v(5), 8) == -EINVAL
    assert m.delete(k(1)) == -EINVAL
    assert m.lookup(k(2)) == 0 and m.lookup(k(1)) == m.lookup(k(0)) + 8


def test_hash() -> None:
    m = made("hash")
    assert m.update(k(1), v(1), BPF_EXIST) == -ENOENT
    assert m.update(k(1), v(1), BPF_ANY) == 0
    assert m.update(k(1), v(2), BPF_NOEXIST) == -EEXIST
    assert m.update(k(2), v(2), BPF_NOEXIST) == 0
    assert m.update(k(3), v(3), BPF_ANY) == -E2BIG
    assert m.delete(k(1)) == 0 and m.delete(k(1)) == -ENOENT
    assert m.lookup(k(1)) == 0


def test_a_pointer_to_an_updated_hash_value_keeps_the_old_one() -> None:
    m = made("hash")
    m.update(k(1), v(1), BPF_ANY)
    before = m.lookup(k(1))
    m.update(k(1), v(2), BPF_ANY)
    assert m.memory.load(before, 8) == 1 and m.memory.load(m.lookup(k(1)), 8) == 2


def test_lru_evicts_the_oldest() -> None:
    m = made("lru_hash")
    m.update(k(1), v(1), BPF_ANY)
    m.update(k(2), v(2), BPF_ANY)
    m.lookup(k(1))
    assert m.update(k(3), v(3), BPF_ANY) == 0
    assert sorted(m.keys()) == [k(1), k(3)]


def test_per_cpu_values() -> None:
    for kind in ("percpu_array", "percpu_hash", "lru_percpu_hash"):
        m = make_map(MapSpec(kind, 4, 8, 2, name="m"), Memory(), cpus=2)
        m.update(k(1), v(1), BPF_ANY, cpu=0)
        m.update(k(1), v(2), BPF_ANY, cpu=1)
        assert m.get(1) == [v(1), v(2)]
        assert m.lookup(k(1), 1) and not m.lookup(k(1), 2)


def test_lpm_trie() -> None:
    m = made("lpm_trie", key=8, entries=3)
    assert isinstance(m, Trie)

    def prefix(length: int, *address: int) -> bytes:
        return k(length) + bytes(address)

    assert m.update(prefix(8, 10, 0, 0, 0), v(8), BPF_ANY) == 0
    assert m.update(prefix(16, 10, 1, 0, 0), v(16), BPF_ANY) == 0
    assert m.update(prefix(0, 0, 0, 0, 0), v(99), BPF_ANY) == 0
    assert m.update(prefix(24, 10, 1, 2, 0), v(24), BPF_ANY) == -ENOSPC
    assert m.update(prefix(33, 0, 0, 0, 0), v(1), BPF_ANY) == -EINVAL
    found = [m.memory.load(m.lookup(prefix(32, *a)), 8) for a in ((10, 1, 2, 3), (10, 2, 2, 3), (192, 168, 0, 1))]
    assert found == [16, 8, 99]
    assert m.delete(prefix(16, 10, 1, 0, 0)) == 0 and m.delete(prefix(16, 10, 1, 0, 0)) == -ENOENT


@pytest.mark.parametrize(("kind", "order"), [("queue", [1, 2]), ("stack", [2, 1])])
def test_queue_and_stack(kind: str, order: list[int]) -> None:
    m = made(kind, key=0)
    assert isinstance(m, Queue)
    assert [m.push(v(n), BPF_ANY) for n in (1, 2, 3)] == [0, 0, -E2BIG]
    assert m.peek() == v(order[0])
    assert [m.pop(), m.pop(), m.pop()] == [v(order[0]), v(order[1]), None]


def test_a_full_queue_drops_its_oldest_when_told_to() -> None:
    m = made("queue", key=0)
    assert [m.push(v(n), BPF_EXIST) for n in (1, 2, 3)] == [0, 0, 0]
    assert m.pop() == v(2)


def test_bloom_filter() -> None:
    m = made("bloom_filter", key=0)
    assert isinstance(m, Bloom)
    m.push(v(1), BPF_ANY)
    assert m.contains(v(1)) and not m.contains(v(2))


def test_ring_buffer_fills_up_until_it_is_read() -> None:
    m = made("ringbuf", key=0, value=0, entries=4096)
    assert isinstance(m, RingBuffer)
    first = m.reserve(2000)
    assert first and m.reserve(2000) and not m.reserve(2000)      # 2 * 2008 of 4095
    m.memory.write(first, b"hello")
    m.finish(first, keep=True)
    assert not m.finish(first, keep=True)
    assert m.take()[0][:5] == b"hello" and m.reserve(2000)


def test_maps_of_maps() -> None:
    text = """
        .map inner array 4 8 1
        .map outer array_of_maps 4 4 2
        *(u32 *)(r10 - 4) = {index}
        r1 = outer ll
        r2 = r10
        r2 += -4
        call bpf_map_lookup_elem
        if r0 == 0 goto nothing
        *(u32 *)(r10 - 4) = 0
        r1 = r0
        r2 = r10
        r2 += -4
        call bpf_map_lookup_elem
        if r0 == 0 goto nothing
        r0 = *(u64 *)(r0 + 0)
        exit
    nothing:
        r0 = -1
        exit
    """
    spec = MapSpec("array", 4, 8, 1, name="a tenant")
    prog = from_assembly(text.format(index=1))
    prog.maps[1].inner = spec
    assert interp.run(prog, maps={"outer": {1: {0: 77}}}).r0 == 77
    assert interp.run(prog).r0 == (1 << 64) - 1


def test_maps_go_from_run_to_run() -> None:
    prog = from_assembly("""
        .map count array 4 8 1
        *(u32 *)(r10 - 4) = 0
        r1 = count ll
        r2 = r10
        r2 += -4
        call bpf_map_lookup_elem
        r1 = 1
        r1 = atomic64_fetch_add((u64 *)(r0 + 0), r1)
        r0 = r1
        exit
    """)
    first = interp.run(prog)
    second = interp.run(prog, maps=first.maps)
    third = interp.run(prog, maps=second.maps)
    assert [first.r0, second.r0, third.r0] == [0, 1, 2]
    assert third.maps["count"][0] == v(3)


def test_what_cannot_be_set_up_is_an_error() -> None:
    prog = from_assembly(".map m hash 4 8 2\nr0 = 0\nexit")
    with pytest.raises(InterpError, match="has no map 'x'"):
        interp.run(prog, maps={"x": {}})
    with pytest.raises(InterpError, match="a key has 4 bytes, not 2"):
        interp.run(prog, maps={"m": {b"ab": 1}})
    with pytest.raises(InterpError, match="update refused with errno 7"):
        interp.run(prog, maps={"m": {1: 1, 2: 2, 3: 3}})
    with pytest.raises(NotSupported, match="maps of type arena"):
        made("arena")
    with pytest.raises(InterpError, match="more than"):
        made("array", value=1 << 20, entries=1 << 20)
