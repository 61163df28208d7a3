"""The card: packets, helpers of the firmware, maps by control messages, and programs that it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

import bpfbench as bb
from bpfbench.cli import main
from bpfbench.errors import ExecuteError, NotSupported
from bpfbench.execute import nfp_control as control
from bpfbench.execute.nfp_bus import CardMemory, split
from bpfbench.execute.nfp_card import action_of
from bpfbench.execute.nfp_control import Cells, Message, decode, encode
from bpfbench.execute.nfp_firmware import Firmware
from bpfbench.execute.nfp_host import Card
from bpfbench.execute.nfp_sim import run

PACKET = bytes(range(14)) + b"\x88\xb5" + bytes(range(48))
HEAD = "r2 = *(u32 *)(r1 + 0)\nr3 = *(u32 *)(r1 + 4)\nr4 = r2\nr4 += 40\nif r4 > r3 goto out\n"
TAIL = "\nout:\nr0 = 1\nexit"
COUNT = """
.map counts array 4 16 4
r1 = 1
*(u32 *)(r10 - 4) = r1
r2 = r10
r2 += -4
r1 = map[counts]
call map_lookup_elem
if r0 == 0 goto out
r1 = 1
lock *(u64 *)(r0 + 0) += r1
r1 = *(u32 *)(r0 + 12)
r0 = 2
exit
out:
r0 = 0
exit
"""
UPDATED = COUNT.replace("r1 = 1\n*(u32 *)(r10 - 4) = r1", """r1 = 1
*(u32 *)(r10 - 4) = r1
r6 = 0
*(u64 *)(r10 - 24) = r6
*(u64 *)(r10 - 16) = r6
r2 = r10
r2 += -4
r3 = r10
r3 += -24
r4 = 0
r1 = map[counts]
call map_update_elem""")
EVENT = """
.map e perf_event_array 4 4 1
*(u64 *)(r10 - 8) = r1
r1 = 77
*(u64 *)(r10 - 16) = r1
r1 = *(u64 *)(r10 - 8)
r2 = map[e]
r3 = 0x14ffffffff ll         ; 20 bytes of the packet, this CPU
r4 = r10
r4 += -16
r5 = 8
call perf_event_output
exit
"""


# -------------------------------------------------------------------------------------------------------------- packets
@pytest.mark.parametrize("r0, verdict", [(0, "aborted"), (1, "drop"), (2, "pass"), (3, "tx"), (7, "aborted"),
                                         (-1, "aborted")])  # fmt: skip
def test_verdicts_of_xdp(r0: int, verdict: str) -> None:
    found = bb.run(bb.assemble(f"r0 = {r0}\nexit"), PACKET, engine="nfp")
    assert (found.verdict, found.r0, found.code) == (verdict, r0 & 0xFFFFFFFF, action_of("xdp", r0))


@pytest.mark.parametrize("r0, verdict", [(2, "shot"), (4, "stolen"), (5, "stolen"), (-1, "pass"), (8, "pass")])
def test_verdicts_of_tc(r0: int, verdict: str) -> None:
    assert bb.run(bb.assemble(f"r0 = {r0}\nexit", type="sched_cls"), PACKET, engine="nfp").verdict == verdict


def test_the_packet_is_rewritten() -> None:
    body = "r5 = *(u64 *)(r2 + 3)\n*(u64 *)(r2 + 20) = r5\n*(u16 *)(r2 + 30) = 0x1234\nr0 = 2\nexit"
    prog = bb.assemble(HEAD + body + TAIL)
    found, expected = run(prog, PACKET), bb.run(prog, PACKET)
    assert found.data == expected.data != PACKET
    assert found.cycles > found.insns_executed and found.waited > 0


def test_both_ends_of_the_packet_move() -> None:
    for delta, helper in ((-20, "head"), (14, "head"), (-10, "tail")):
        prog = bb.assemble(f"r2 = {delta}\ncall xdp_adjust_{helper}\nr0 = 2\nexit")
        assert run(prog, PACKET).data == bb.run(prog, PACKET).data


def test_a_head_that_moves_in_a_loop_is_checked_each_time() -> None:
    prog = bb.assemble("*(u64 *)(r10 - 8) = r1\nr6 = 0\nagain: r1 = *(u64 *)(r10 - 8)\nr2 = -40\ncall xdp_adjust_head\n"
                       "if r0 != 0 goto out\nr6 += 1\nif r6 < 5 goto again\nout: r0 = r6\nexit")  # fmt: skip
    found = run(prog, PACKET)
    assert (found.r0, len(found.data)) == (3, len(PACKET) + 120)        # at 128 in a buffer where 8 is the least


def test_random_numbers_are_those_of_the_interpreter() -> None:
    prog = bb.assemble("call get_prandom_u32\nexit")
    assert run(prog, PACKET, seed=3).r0 == bb.run(prog, PACKET, seed=3).r0


def test_an_event_carries_bytes_of_stack_and_packet() -> None:
    prog = bb.assemble(EVENT)
    assert run(prog, PACKET).maps["e"].records == bb.run(prog, PACKET).maps["e"].records
    card = Card(prog)
    card.run(PACKET)
    assert card.events["e"].records == [(0, (77).to_bytes(8, "little") + PACKET[:20])]


def test_a_trace_tells_instruction_after_instruction() -> None:
    found = run(bb.assemble("r0 = 2\nexit"), PACKET, trace=True)
    texts = [event.values["text"] for event in found.trace]
    assert texts[2] == "immed[gprA_0, 0x2], gpr_wrboth" and len(texts) == found.insns_executed


def test_the_command_line(capsys: pytest.CaptureFixture[str], datasets: Path) -> None:
    args = ["run", str(datasets / "xdp_icmp_echo.o"), "--engine", "nfp", "--json", "--data", PACKET.hex()]
    assert main(args) == 0
    assert json.loads(capsys.readouterr().out)["r0"] == 2
    assert main(["run", str(datasets / "xdp_rate_limiter.o"), "--engine", "nfp"]) == 2
    assert "unsupported function: ktime_get_ns" in capsys.readouterr().err


# ----------------------------------------------------------------------------------------------------------------- maps
def test_maps_go_to_the_card_and_come_back() -> None:
    maps = {"counts": {1: (41).to_bytes(8, "little") + bytes(8)}}
    found, expected = (bb.run(bb.assemble(COUNT), PACKET, maps=maps, engine=engine) for engine in ("nfp", "interp"))
    assert found.maps["counts"].items() == expected.maps["counts"].items()
    assert found.maps["counts"].get(1) == (42).to_bytes(8, "little") + bytes(8)
    assert run(bb.assemble(COUNT), PACKET, maps=found.maps).maps["counts"].get(1)[0] == 43


def test_counters_that_the_program_sets_to_zero() -> None:
    found, expected = (bb.run(bb.assemble(UPDATED), PACKET, engine=engine) for engine in ("nfp", "interp"))
    assert found.maps["counts"].items() == expected.maps["counts"].items()


def test_the_host_reads_counters_by_messages() -> None:
    card = Card(bb.assemble(COUNT))
    counts, key = card.maps["counts"], (1).to_bytes(4, "little")
    counts.update(key, (41).to_bytes(8, "little") + b"\x05" * 8)
    for _ in range(3):
        assert card.run(PACKET).verdict == "pass"
    assert counts.lookup(key) == (44).to_bytes(8, "little") + b"\x05" * 8
    assert card.firmware.maps[0].get(key)[:4] == (44).to_bytes(4, "big")     # so it is kept on the card
    assert [int.from_bytes(k, "little") for k, _ in counts.items()] == [0, 1, 2, 3]
    with pytest.raises(ExecuteError, match="cannot be deleted"):
        counts.delete(key)
    assert counts.free() == 4
    with pytest.raises(ExecuteError, match="errno 77"):
        counts.lookup(key)


def test_a_hash_table_by_messages() -> None:
    card = Card(bb.assemble(".map h hash 6 3 5\nr0 = map[h]\nr0 = 2\nexit"))
    h, rng = card.maps["h"], Random(1)
    entries = {rng.randbytes(6): rng.randbytes(3) for _ in range(5)}
    for key, value in entries.items():
        h.update(key, value)
    assert dict(h.items()) == entries
    with pytest.raises(ExecuteError, match="errno 7"):           # E2BIG
        h.update(bytes(6), bytes(3))
    first = next(iter(entries))
    with pytest.raises(ExecuteError, match="errno 17"):          # EEXIST
        h.update(first, bytes(3), flags=1)
    assert h.delete(first) and not h.delete(first) and h.lookup(first) is None


def test_messages_survive_the_way() -> None:
    rng, cells = Random(2), Cells(16, 32)
    for _ in range(200):
        kind = rng.choice((*control.OPERATIONS, control.ALLOC, control.FREE, control.EVENT))
        reply = kind != control.EVENT and rng.random() < 0.5
        count = {control.ALLOC: 2 if reply else 5, control.FREE: 2 if reply else 1, control.EVENT: 2}.get(kind, 3)
        entries = [(rng.randbytes(16), rng.randbytes(32)) for _ in range(rng.randrange(5))]
        if kind not in control.OPERATIONS:
            entries = []
        if kind == control.EVENT:
            entries = [(rng.randbytes(rng.randrange(20)), rng.randbytes(rng.randrange(20)))]
        message = Message(kind | (control.REPLY if reply else 0), rng.getrandbits(16),
                          tuple(rng.getrandbits(32) for _ in range(count)), entries)  # fmt: skip
        assert decode(encode(message, cells), cells) == message


def test_the_bytes_of_a_message() -> None:
    """As fw.h lays them out: big-endian words behind a header of type, version and tag."""
    assert encode(Message(control.ALLOC, 1, (4, 8, 16, 2, 0)), Cells()).hex() == (
        "01010001" "00000004" "00000008" "00000010" "00000002" "00000000")  # fmt: skip
    lookup = encode(Message(control.LOOKUP, 2, (7, 1, 0), [(b"\x01", b"")]), Cells(4, 4))
    assert lookup.hex() == "03010002" "00000007" "00000001" "00000000" "01000000" "00000000"


@pytest.mark.parametrize("raw", ["", "0101", "02020001", "63010001", "0101000100", "0301000100000000000000010000000000"])
def test_bytes_that_are_no_message(raw: str) -> None:
    with pytest.raises(ExecuteError, match="control message"):
        decode(bytes.fromhex(raw), Cells())


def test_replies_to_requests_that_fail() -> None:
    firmware = Firmware(CardMemory())
    ask = lambda kind, numbers, entries=None: decode(  # noqa: E731
        firmware.answer(encode(Message(kind, 1, numbers, entries), firmware.cells)), firmware.cells)
    assert ask(control.ALLOC, (4, 4, 4, 99, 0)).numbers[0] == control.MAP_ERROR
    assert ask(control.FREE, (5,)).numbers[0] == control.BAD_MAP
    found = ask(control.LOOKUP, (5, 1, 0), [(bytes(4), b"")])
    assert (found.numbers[0], len(found.entries)) == (control.BAD_MAP, 1)       # an entry more when there was an error


def test_an_address_of_40_bits_is_a_pair() -> None:
    memory = CardMemory()
    for size in (8, 1 << 20, 1 << 22):
        region = memory.add("value", size)
        low, high = split(region.base)
        assert (high << 8) + low & (1 << 40) - 1 == region.base
        assert region.base >> 32 == region.base + size + 128 >> 32


# ------------------------------------------------------------------------------------------------------------ refusals
@pytest.mark.parametrize("text, why", [
    (".map m lru_hash 4 4 4\nr1 = map[m]\nr0 = 2\nexit", "type lru_hash"),
    (".map m hash 4 4 4 1\nr1 = map[m]\nr0 = 2\nexit", "flags 0x1"),
    (".map m array 4 400 4\nr1 = map[m]\nr0 = 2\nexit", "limits"),
    ("call ktime_get_ns\nr0 = 2\nexit", "unsupported function"),
    (COUNT.replace("r1 = *(u32 *)(r0 + 12)", "r1 = *(u32 *)(r0 + 4)"), "map value use type conflict atomic vs read off: 4"),
    (COUNT.replace("lock *(u64 *)(r0 + 0) += r1", "*(u64 *)(r0 + 0) = r1"), "map writes"),
    (UPDATED.replace("r6 = 0", "r6 = 1"), "value at offset 0 may be non-zero"),
])  # fmt: skip
def test_programs_that_cannot_be_offloaded(text: str, why: str) -> None:
    with pytest.raises(NotSupported, match=why):
        bb.run(bb.assemble(text), PACKET, engine="nfp")


def test_jumbo_packets_stay_on_the_host() -> None:
    with pytest.raises(NotSupported, match="packets of 9000 bytes"):
        bb.run(bb.assemble("r0 = 2\nexit"), bytes(9000), engine="nfp")
