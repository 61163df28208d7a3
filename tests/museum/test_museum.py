"""Every piece of the museum does what its text says: accepted with the bug, contradicted by its run, rejected without."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import bpfbench as bb
from bpfbench import museum
from bpfbench.errors import UsageError
from bpfbench.jit.history import FAULTS
from bpfbench.verifier.history import SWITCHES

VERIFIER = [piece for piece in museum.PIECES if isinstance(piece, museum.VerifierPiece)]
CODEGEN = [piece for piece in museum.PIECES if isinstance(piece, museum.CodegenPiece)]


def name(piece: museum.Piece) -> str:
    return piece.name


def test_every_switch_has_a_piece() -> None:
    assert {p.name for p in VERIFIER} == set(SWITCHES) and len(VERIFIER) >= 12
    assert {p.name for p in CODEGEN} == set(FAULTS)


@pytest.mark.parametrize("piece", VERIFIER, ids=name)
def test_the_faulty_verifier_accepts_and_its_run_contradicts_it(piece: museum.VerifierPiece) -> None:
    assert piece.faulty.accepted
    found = piece.contradiction
    assert found.trap is not None, "what the verifier allowed must not be harmless"
    if found.kind == "outside":
        assert piece.faulty.trace is not None
        states = [event.values["regs"][found.register] for event in piece.faulty.trace.of("visit") if event.pc == found.pc]
        assert states and not any(state.scalar.holds(found.value) for state in states)


@pytest.mark.parametrize("piece", VERIFIER, ids=name)
def test_the_right_verifier_rejects(piece: museum.VerifierPiece) -> None:
    assert not piece.fixed.accepted and piece.fixed.rejection is not None and piece.fixed.rejection.rule != "unknown"
    assert not piece.today.accepted


@pytest.mark.parametrize("piece", VERIFIER, ids=name)
def test_no_other_switch_lets_the_program_pass(piece: museum.VerifierPiece) -> None:
    """Each program shows its own bug; those that two bugs let pass are named."""
    both = {"CVE-2017-16995": set(), "CVE-2017-17852": set()}
    others = {other for other in SWITCHES if other != piece.name
              and bb.verify(piece.program, piece.kernel, without=(other,)).accepted}
    assert others == both.get(piece.name, set())


@pytest.mark.parametrize("piece", museum.PIECES, ids=name)
def test_the_running_kernel_agrees_with_the_right_verifier(piece: museum.Piece) -> None:
    state = bb.kernel.available()
    if not state:
        pytest.skip(f"no live kernel to ask ({state.reason}): run as root where bpf(2) is permitted")
    live = piece.live()
    assert live.accepted == piece.today.accepted == (piece.kind == "jit")
    if "CVE-2021-38300" != piece.name:          # 12,000 instructions on several lines of log: only the verdict counts
        assert live.message == piece.today.message


@pytest.mark.parametrize("piece", CODEGEN, ids=name)
def test_the_wrong_code_runs_wrong_and_the_right_code_right(piece: museum.CodegenPiece) -> None:
    assert piece.verification.accepted
    assert piece.right_run.trap is None and piece.right_run.r0 == piece.expected.r0
    assert piece.wrong_run.trap is not None or piece.wrong_run.r0 != piece.expected.r0
    assert piece.differences


def test_wrong_code_is_made_only_on_request_and_for_its_target() -> None:
    for fault in FAULTS.values():
        other = "aarch64"
        with pytest.raises(UsageError, match="is one of"):
            bb.jit(bb.assemble("r0 = 0\nexit"), target=other, fault=fault.name)
    with pytest.raises(UsageError, match="unknown code generator bug"):
        bb.jit(bb.assemble("r0 = 0\nexit"), fault="none")


def test_unknown_fix_and_piece_are_one_clear_error() -> None:
    with pytest.raises(UsageError, match="unknown algorithm 'CVE-1'"):
        bb.verify(bb.assemble("r0 = 0\nexit"), without=("CVE-1",))
    with pytest.raises(UsageError, match="no museum piece"):
        museum.piece("CVE-1")


def test_a_switch_changes_nothing_for_others() -> None:
    """After a faulty verification the right one is right: switches live in one row of features."""
    piece = museum.piece("CVE-2021-3490")
    assert bb.verify(piece.program, "linux-6.1", without=(piece.name,)).accepted
    assert not bb.verify(piece.program, "linux-6.1").accepted


def test_the_page_lists_every_piece() -> None:
    page = (Path(__file__).resolve().parent.parent.parent / "docs" / "museum.md").read_text()
    for piece in museum.PIECES:
        place = piece.kernel if isinstance(piece, museum.VerifierPiece) else piece.target
        assert f"| {piece.name} | {place} |" in page and f"| {piece.commit} |" in page


def test_show_tells_the_whole_story(capsys: pytest.CaptureFixture[str]) -> None:
    from bpfbench.cli import main

    assert main(["museum", "CVE-2017-17852"]) == 0
    text = capsys.readouterr().out
    for words in ("468f6eafa6c4", "<accepted: 13 insns", "r6 holds 0x0; the verifier said <4294967296>", "<rejected:"):
        assert words in text
    assert main(["museum", "--json"]) == 0
    assert len([json.loads(line) for line in capsys.readouterr().out.splitlines()]) == len(museum.PIECES)
    assert main(["museum", "nothing"]) == 2
