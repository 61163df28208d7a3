"""Helpers: what they compute, what they change, and the errno for what they refuse."""

from __future__ import annotations

from errno import EACCES, EFAULT, EINVAL

import pytest

from bpfbench import interp
from bpfbench.bits import s64
from bpfbench.interp.helpers import HELPERS, checksum
from bpfbench.interp.helpers.format import format_text
from bpfbench.interp.memory import Memory
from bpfbench.program.program import from_assembly

IPV4 = bytes.fromhex("000000000000020000000002080045000028000040004006") + bytes(40)
TAGGED = bytes.fromhex("020000000001020000000002810000640800") + IPV4[14:]


def test_there_are_at_least_eighty() -> None:
    assert len(HELPERS) >= 80 and all(row.args <= 5 for row in HELPERS.values())


# ------------------------------------------------------------------------------------------------------------ packets
RESIZE = [
    # program type and call                                       r0        length afterwards (of 64)
    ("xdp", "r2 = 14\ncall bpf_xdp_adjust_head",                  0,        50),
    ("xdp", "r2 = -216\ncall bpf_xdp_adjust_head",                0,        280),
    ("xdp", "r2 = -217\ncall bpf_xdp_adjust_head",                -EINVAL,  64),
    ("xdp", "r2 = 51\ncall bpf_xdp_adjust_head",                  -EINVAL,  64),
    ("xdp", "r2 = -50\ncall bpf_xdp_adjust_tail",                 0,        14),
    ("xdp", "r2 = -51\ncall bpf_xdp_adjust_tail",                 -EINVAL,  64),
    ("xdp", "r2 = 3456\ncall bpf_xdp_adjust_tail",                0,        3520),
    ("xdp", "r2 = 3457\ncall bpf_xdp_adjust_tail",                -EINVAL,  64),
    ("xdp", "r2 = -4\ncall bpf_xdp_adjust_meta",                  0,        68),
    ("xdp", "r2 = -3\ncall bpf_xdp_adjust_meta",                  -EACCES,  64),
    ("xdp", "r2 = 1\ncall bpf_xdp_adjust_meta",                   -EINVAL,  64),
    ("sched_cls", "r2 = 100\nr3 = 0\ncall bpf_skb_change_tail",   0,        100),
    ("sched_cls", "r2 = 13\nr3 = 0\ncall bpf_skb_change_tail",    -EINVAL,  64),
    ("sched_cls", "r2 = 14\nr3 = 0\ncall bpf_skb_change_head",    0,        78),
    ("sched_cls", "r2 = 8\nr3 = 0\nr4 = 0\ncall bpf_skb_adjust_room", 0,    72),
    ("sched_cls", "r2 = -8\nr3 = 0\nr4 = 0\ncall bpf_skb_adjust_room", 0,   56),
    ("sched_cls", "r2 = 0xdd86\nr3 = 0\ncall bpf_skb_change_proto", 0,      84),
    ("sched_cls", "r2 = 0x81\nr3 = 5\ncall bpf_skb_vlan_push",    0,        64),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "call", "r0", "length"), RESIZE, ids=[row[1].replace("\n", "; ") for row in RESIZE])
def test_resizing_a_packet(kind: str, call: str, r0: int, length: int) -> None:
    result = interp.run(from_assembly(f"{call}\nexit", type=kind), IPV4)
    assert (s64(result.r0), len(result.data)) == (r0, length)


def test_the_kernel_resizes_alike(live_kernel: None) -> None:
    from bpfbench import kernel

    for kind, call, *_ in RESIZE:
        prog = from_assembly(f"{call}\nexit", type=kind)
        mine, theirs = interp.run(prog, IPV4), kernel.run(prog, IPV4)
        assert (mine.retval, mine.data) == (theirs.r0, theirs.data), call


def test_a_pushed_tag_goes_into_the_packet_when_a_second_one_comes() -> None:
    push = "r1 = r6\nr2 = 0x81\nr3 = {tci}\ncall bpf_skb_vlan_push\n"
    text = "r6 = r1\n" + push.format(tci=5) + push.format(tci=6) + "r0 = *(u32 *)(r6 + 24)\nexit"
    result = interp.run(from_assembly(text, type="sched_cls"), IPV4)
    assert result.r0 == 6 and result.data == IPV4[:12] + bytes.fromhex("81000005") + IPV4[12:]


def test_popping_a_tag() -> None:
    result = interp.run(from_assembly("call bpf_skb_vlan_pop\nexit", type="sched_cls"), TAGGED)
    assert result.r0 == 0 and result.data == TAGGED[:12] + TAGGED[16:]


def test_loading_outside_the_packet_clears_the_buffer() -> None:
    text = """
        *(u64 *)(r10 - 8) = -1
        r2 = 62
        r3 = r10
        r3 += -8
        r4 = 8
        call bpf_skb_load_bytes
        r1 = *(u64 *)(r10 - 8)
        r0 += r1
        exit
    """
    assert s64(interp.run(from_assembly(text, type="sched_cls"), IPV4).r0) == -EFAULT


# ---------------------------------------------------------------------------------------------------------- checksums
def test_checksum_replacement_equals_a_fresh_checksum() -> None:
    """RFC 1624: the incremental update and the sum over the changed header agree."""
    header = bytearray.fromhex("4500003c1c4640004006b1e6ac100a63ac100a0c")
    assert checksum.fold(checksum.partial(bytes(header), 0)) == 0
    check = int.from_bytes(header[10:12], "little")
    old, new = bytes(header[16:20]), bytes([10, 0, 0, 1])
    header[16:20], header[10:12] = new, b"\0\0"
    fresh = checksum.fold(checksum.partial(bytes(header), 0))
    as_int = (int.from_bytes(old, "little"), int.from_bytes(new, "little"))
    assert checksum.replaced4(check, *as_int) == fresh
    assert checksum.replaced_by_difference(check, checksum.difference(old, new, 0)) == fresh


# ------------------------------------------------------------------------------------------------- text and numbers
@pytest.mark.parametrize(
    ("fmt", "arguments", "text"),
    [
        (b"%d %u %x\0", [2**32 - 1, 2**32 - 1, 255], b"-1 4294967295 ff"),
        (b"%ld %llx\0", [2**64 - 2, 2**63], b"-2 8000000000000000"),
        (b"100%% of %5d|\0", [42], b"100% of    42|"),
        (b"%04x %c\0", [10, 65], b"000a A"),
        (b"%y\0", [1], None),
        (b"no end", [], None),
    ],
)
def test_printf(fmt: bytes, arguments: list[int], text: bytes | None) -> None:
    assert format_text(Memory(), fmt, arguments) == text


def test_trace_printk() -> None:
    text = """
        r1 = 0x64253d78 ll              ; "x=%d"
        *(u64 *)(r10 - 8) = r1
        *(u8 *)(r10 - 4) = 0
        r1 = r10
        r1 += -8
        r2 = 5
        r3 = -7
        call bpf_trace_printk
        exit
    """
    result = interp.run(from_assembly(text.replace("0x64253d78", "0x64253d78")))
    assert result.printed == ["x=-7"] and result.r0 == 4


@pytest.mark.parametrize(
    ("digits", "base", "r0", "value"),
    [(b"-12 ", 10, 3, -12), (b" 0x1f", 0, 5, 31), (b"017", 0, 3, 15), (b"zz", 10, -EINVAL, 0), (b"12", 7, -EINVAL, 0)],
)
def test_strtol(digits: bytes, base: int, r0: int, value: int) -> None:
    text = f"""
        r1 = {int.from_bytes(digits.ljust(8, b'!'), 'little')} ll
        *(u64 *)(r10 - 8) = r1
        *(u64 *)(r10 - 16) = 0
        r1 = r10
        r1 += -8
        r2 = {len(digits)}
        r3 = {base}
        r4 = r10
        r4 += -16
        call bpf_strtol
        r6 = *(u64 *)(r10 - 16)
        r6 <<= 8
        r0 &= 0xff
        r0 |= r6
        exit
    """
    assert interp.run(from_assembly(text)).r0 == (value << 8 | r0 & 0xFF) & (1 << 64) - 1


# ------------------------------------------------------------------------------------------------------------- records
def test_ring_buffer_records_reach_user_space() -> None:
    text = """
        .map events ringbuf 0 0 4096
        r1 = events ll
        r2 = 8
        r3 = 0
        call bpf_ringbuf_reserve
        if r0 == 0 goto out
        *(u64 *)(r0 + 0) = 77
        r1 = r0
        r2 = 0
        call bpf_ringbuf_submit
    out: r0 = 0
        exit
    """
    assert interp.run(from_assembly(text)).maps["events"].records == [(77).to_bytes(8, "little")]


def test_a_submitted_record_can_no_longer_be_written() -> None:
    text = """
        .map events ringbuf 0 0 4096
        r1 = events ll
        r2 = 8
        r3 = 0
        call bpf_ringbuf_reserve
        r6 = r0
        r1 = r0
        r2 = 0
        call bpf_ringbuf_submit
        *(u64 *)(r6 + 0) = 77
        exit
    """
    trap = interp.run(from_assembly(text)).trap
    assert trap is not None and trap.kind == "memory"


def test_dynptr_writes_stay_inside() -> None:
    text = """
        *(u64 *)(r10 - 8) = 0
        r1 = r10
        r1 += -8
        r2 = 8
        r3 = 0
        r4 = r10
        r4 += -24
        call bpf_dynptr_from_mem
        *(u64 *)(r10 - 32) = 0x11
        r1 = r10
        r1 += -24
        r2 = {at}
        r3 = r10
        r3 += -32
        r4 = 1
        r5 = 0
        call bpf_dynptr_write
        exit
    """
    assert interp.run(from_assembly(text.format(at=7))).r0 == 0
    assert s64(interp.run(from_assembly(text.format(at=8))).r0) == -7


def test_timers_say_that_they_never_fire() -> None:
    text = """
        .map m array 4 16 1
        *(u32 *)(r10 - 4) = 0
        r1 = m ll
        r2 = r10
        r2 += -4
        call bpf_map_lookup_elem
        r6 = r0
        r1 = r6
        r2 = m ll
        r3 = 1
        call bpf_timer_init
        r1 = r6
        r2 = 1000
        r3 = 0
        call bpf_timer_start
        exit
    """
    result = interp.run(from_assembly(text, type="sched_cls"))
    assert result.r0 == 0 and "never fires" in result.notes[0]


@pytest.mark.parametrize(("entry", "r0"), [({}, 2), ({1: 5}, 4)], ids=["empty", "set"])
def test_redirect_map(entry: dict[int, int], r0: int) -> None:
    prog = from_assembly(".map dev devmap 4 4 4\nr1 = dev ll\nr2 = 1\nr3 = 2\ncall bpf_redirect_map\nexit")
    result = interp.run(prog, maps={"dev": entry})
    assert result.r0 == r0 and result.redirect == (("dev", 1, 2) if entry else None)


def test_random_numbers_follow_the_seed() -> None:
    prog = from_assembly("call bpf_get_prandom_u32\nexit")
    assert interp.run(prog, seed=1).r0 == interp.run(prog, seed=1).r0 != interp.run(prog, seed=2).r0


def test_the_clock_can_be_given() -> None:
    assert interp.run(from_assembly("call bpf_ktime_get_ns\nexit"), clock=lambda: 12345).r0 == 12345


ALIKE = [
    # type, program: the kernel's test run and the interpreter give the same r0 and packet
    ("sched_cls", "call bpf_skb_ecn_set_ce\nexit"),
    ("sched_cls", "r2 = 0\ncall bpf_csum_level\nexit"),
    ("sched_cls", "r2 = 5\ncall bpf_csum_update\nexit"),
    ("sched_cls", "call bpf_get_socket_uid\nexit"),
    ("sched_cls", "call bpf_get_route_realm\nexit"),
    ("sched_cls", "r2 = 5\nr3 = 1\ncall bpf_skb_set_tstamp\nexit"),
    ("sched_cls", "r2 = 5\nr3 = 0\ncall bpf_skb_set_tstamp\nexit"),
    ("sched_cls", "r2 = 0\nr3 = 1\ncall bpf_skb_set_tstamp\nexit"),
    ("sched_cls", "r2 = 9\nr3 = 2\ncall bpf_skb_set_tstamp\nexit"),
    ("sched_cls", "r2 = 9\nr3 = 3\ncall bpf_skb_set_tstamp\nexit"),
    ("sched_cls", "r1 = 1\nr2 = 2\ncall bpf_redirect\nexit"),
    ("xdp", "r1 = 1\nr2 = 1\ncall bpf_redirect\nexit"),
    ("xdp", "r1 = 1\nr2 = 0\ncall bpf_redirect\nexit"),
    ("sched_cls", "*(u32 *)(r10 - 4) = 100\nr2 = 0\nr3 = r10\nr3 += -4\nr4 = 65500\nr5 = 0\ncall bpf_check_mtu\n"
                  "r1 = *(u32 *)(r10 - 4)\nr0 += r1\nexit"),
    ("sched_cls", ".map rb ringbuf 0 0 4096\nr1 = rb ll\nr2 = 1\ncall bpf_ringbuf_query\nexit"),
]  # fmt: skip
NUMBERS = [
    b"-12", b"0x1F", b"017", b"  42x", b"9223372036854775808", b"18446744073709551616", b"+5", b"0x", b"08", b"-0",
]  # fmt: skip


def strto(function: str, digits: bytes, base: int) -> str:
    word = [int.from_bytes(digits.ljust(24, b"\0")[at : at + 8], "little") for at in (0, 8, 16)]
    stores = "".join(f"r1 = {w} ll\n*(u64 *)(r10 - {64 - 8 * n}) = r1\n" for n, w in enumerate(word))
    return f"""
        {stores}
        *(u64 *)(r10 - 8) = 0
        r1 = r10
        r1 += -64
        r2 = {len(digits)}
        r3 = {base}
        r4 = r10
        r4 += -8
        call bpf_{function}
        r1 = *(u64 *)(r10 - 8)
        r2 = r1
        r2 >>= 32
        r1 ^= r2
        r1 <<= 8
        r0 &= 255
        r0 ^= r1
        exit
    """


def test_the_kernels_helpers_answer_alike(live_kernel: None) -> None:
    from bpfbench import kernel

    cases = [(kind, text) for kind, text in ALIKE]
    cases += [("sched_cls", strto(f, d, b)) for f in ("strtol", "strtoul") for d in NUMBERS for b in (0, 8, 10, 16)]
    for kind, text in cases:
        prog = from_assembly(text, type=kind)
        for packet in (IPV4, bytes(64)):
            mine, theirs = interp.run(prog, packet), kernel.run(prog, packet)
            assert (mine.trap, mine.retval, mine.data) == (None, theirs.r0, theirs.data), text
