"""verify --static, --both, --batch --static on the command line: status, text, JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import bpfbench as bb
from bpfbench.cli import main

GOOD = "r0 = 2\nexit"
BAD = "r2 = 4096\nr0 = *(u8 *)(r2 +0)\nexit"
SAFE = "r1 = 100\nr1 /= 10\nr2 = r10\nr2 += -16\nr2 += r1\n*(u8 *)(r2 +0) = 0\nr0 = 0\nexit"


@pytest.fixture
def asm(tmp_path: Path):  # type: ignore[no-untyped-def]
    def write(text: str) -> str:
        path = tmp_path / "prog.s"
        path.write_text(text)
        return str(path)

    return write


def test_static(asm, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert main(["verify", asm(GOOD), "--static", "--invariants"]) == 0
    assert "accepted" in (out := capsys.readouterr().out) and "block 0: r1=ctx" in out
    assert main(["verify", asm(BAD), "--static"]) == 1
    out = capsys.readouterr().out
    assert "[not-a-pointer]" in out and "0: r2 = 4096" in out
    assert main(["verify", asm(BAD), "--static", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["rule"], said["pc"], said["relevant"], said["accepted"]) == ("not-a-pointer", 1, [0, 1], False)


def test_beyond(asm, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert main(["verify", asm(SAFE), "--static"]) == 1
    assert main(["verify", asm(SAFE), "--static", "--beyond", "division"]) == 0
    assert main(["verify", asm(SAFE), "--static", "--beyond", "nonsense"]) == 2
    assert main(["verify", asm(GOOD), "--static", "--unprivileged"]) == 2
    assert "privileged" in capsys.readouterr().err


def test_both(asm, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert main(["verify", asm(GOOD), "--both"]) == 0
    out = capsys.readouterr().out
    assert "path walk" in out and "static analysis" in out and "2 insns processed" in out
    assert main(["verify", asm(BAD), "--both", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["walk"]["accepted"] is said["static"]["accepted"] is False and said["static"]["rule"] == "not-a-pointer"


def test_batch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [json.dumps({**bb.assemble(text).to_json(), "name": name}) for name, text in (("good", GOOD), ("bad", BAD))]
    path = tmp_path / "batch.jsonl"
    path.write_text("\n".join([*lines, "{nonsense"]))
    assert main(["verify", "--batch", str(path), "--static"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(r["name"], r.get("accepted")) for r in rows[:2]] == [("good", True), ("bad", False)] and "error" in rows[2]
