"""Relocation: every kind against a hand-made word, and what cannot be placed is refused."""

from __future__ import annotations

import pytest

from bpfbench.errors import JitError, NotSupported
from bpfbench.jit import nfp_link
from bpfbench.jit.nfp_link import Place, relocate
from bpfbench.jit.targets import target_class, target_name
from bpfbench.machine import nfp
from bpfbench.machine.nfp_assembler import assemble
from bpfbench.machine.nfp_text import disassemble

PLACE = Place(start=256, done=6000, out=27, abort=24, push=40, pop=50, helpers={1: 512})


def relocated(kind: int, text: str, place: Place = PLACE) -> str:
    word = relocate([kind << nfp_link.TYPE_SHIFT | assemble(text)], place)[0]
    nfp.check(word)
    return disassemble(word)


@pytest.mark.parametrize(
    "kind, before, after",
    [
        (nfp_link.NONE, "br[.5]", "br[.5]"),
        (nfp_link.BR_REL, "bne[.5], defer[1]", "bne[.261], defer[1]"),
        (nfp_link.BR_REL, "br_bset[gprA_4, 5, .9]", "br_bset[gprA_4, 5, .265]"),
        (nfp_link.GO_OUT, "br[.15000]", "br[.283]"),
        (nfp_link.GO_ABORT, "bcc[.15000]", "bcc[.280]"),
        (nfp_link.GO_PUSH, "br[.15000], defer[2]", "br[.296], defer[2]"),
        (nfp_link.GO_POP, "br[.15000], defer[1]", "br[.306], defer[1]"),
        (nfp_link.NEXT_PACKET, "br[.15000], defer[2]", "br[.6000], defer[2]"),
        (nfp_link.HELPER, "br[.15001], defer[2]", "br[.512], defer[2]"),
        (nfp_link.IMMED_REL, "immed[gprB_0, 0x12]", "immed[gprB_0, 0x112]"),
        (nfp_link.IMMED_REL, "immed[gprA_21, 0xff]", "immed[gprA_21, 0x1ff]"),
    ],
)
def test_a_word_moves_with_its_program(kind: int, before: str, after: str) -> None:
    assert relocated(kind, before) == after


@pytest.mark.parametrize(
    "kind, text, complaint",
    [
        (nfp_link.HELPER, "br[.15002]", "no helper 2"),
        (nfp_link.BR_REL, "br[.16383]", "beyond the code store"),
        (nfp_link.IMMED_REL, "immed[gprA_0, 0xffff]", "exceeds 16 bits"),
        (nfp_link.IMMED_REL, "immed[gprA_0, 0x12, <<8]", "plain immed"),
        (nfp_link.BR_REL, "nop", "no branch"),
        (9, "nop", "type 9"),
    ],
)
def test_a_word_that_cannot_be_placed_is_refused(kind: int, text: str, complaint: str) -> None:
    with pytest.raises(JitError, match=complaint):
        relocated(kind, text)


def test_a_routine_the_program_lacks_is_refused() -> None:
    with pytest.raises(JitError, match="does not have"):
        relocated(nfp_link.GO_PUSH, "br[.15000]", Place(start=0, done=9, out=8, abort=5))


def test_the_card_is_a_target_without_a_class_of_its_own() -> None:
    assert target_name("nfp") == "nfp"
    with pytest.raises(NotSupported, match="runs in the simulator only"):
        target_class("nfp")
