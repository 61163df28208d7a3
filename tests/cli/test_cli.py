"""The command line as a user meets it: status, one line on stderr, streams of JSON."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path

import pytest

from bpfbench.cli import main

ACCEPTED = "r0 = 2\nexit\n"
REJECTED = "exit\n"


@pytest.fixture
def asm(tmp_path: Path):  # type: ignore[no-untyped-def]
    def write(text: str, name: str = "p.s") -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def test_status_says_accepted_rejected_or_wrong(asm, capsys) -> None:  # type: ignore[no-untyped-def]
    assert main(["verify", asm(ACCEPTED)]) == 0
    assert main(["verify", asm(REJECTED)]) == 1
    assert "R0 !read_ok" in capsys.readouterr().out
    assert main(["verify", asm("nonsense")]) == 2


@pytest.mark.parametrize(
    "argv",
    [
        ["verify", "no-such-file.o"],
        ["verify"],
        ["verify", "{asm}", "--kernel", "linux-2.6"],
        ["verify", "{asm}", "--program", "other"],
        ["jit", "{asm}", "--target", "z80"],
        ["run", "{asm}", "--engine", "steam"],
        ["run", "{asm}", "--data", "missing.pcap"],
        ["dis", "{junk}"],
        ["verify", "{json}"],
        ["nonsense"],
        ["report", "{junk}"],
        ["jumptables", "{junk}"],
        ["man", "no_such_op"],
        ["verify", "{asm}", "--without", "gravity"],
    ],
)
def test_a_wrong_call_is_one_line_on_stderr(argv, asm, tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    places = {"{asm}": asm(ACCEPTED), "{json}": asm('{"insns": 7}', "p.json")}
    (tmp_path / "junk.o").write_bytes(b"\x7fELF" + bytes(range(200)))
    places["{junk}"] = str(tmp_path / "junk.o")
    assert main([places.get(word, word) for word in argv]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    first, *rest = captured.err.strip().splitlines()
    assert first.startswith("bpfbench") and "internal error" not in first and "Traceback" not in captured.err
    assert not rest or rest[0].startswith("    ")          # at most the source line with its caret


def batch_lines(tmp_path: Path) -> str:
    good = {"name": "good", "prog_type": "xdp", "insns": "b7000000020000009500000000000000"}
    bad = dict(good, name="bad", insns="9500000000000000")
    lines = [json.dumps(good), "{not json", "[]", json.dumps({"name": "no insns"}), json.dumps(dict(good, insns="b7")),
             json.dumps(bad)]  # fmt: skip
    path = tmp_path / "programs.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_batch_goes_on_after_bad_lines(tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    path = batch_lines(tmp_path)
    assert main(["verify", "--batch", path]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row.get("accepted") for row in rows] == [True, None, None, None, None, False]
    assert rows[5]["message"] == "R0 !read_ok" and rows[5]["errno"] == "EACCES" and rows[0]["insns_processed"] == 2
    assert all("error" in row for row in rows[1:5])

    assert main(["run", "--batch", path, "--engine", "interp"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows[0]["r0"] == 2 and all("error" in row for row in rows[1:5])

    assert main(["jit", "--batch", path, "--target", "aarch64", "--kernel", "linux-6.12"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert bytes.fromhex(rows[0]["image"]) and rows[0]["functions"] and all("error" in row for row in rows[1:5])


def test_hostile_json_lines_never_crash_a_batch(tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    """Mutations of a program record: every line is answered, with a verdict or with an error that is not internal."""
    rng = random.Random(6)
    base = json.dumps({"name": "p", "prog_type": "sched_cls", "license": "GPL", "expected_attach_type": 0,
                       "insns": "18110000000000000000000000000000bf12000000000000b7000000000000009500000000000000",
                       "maps": [{"type": "hash", "key_size": 4, "value_size": 8, "max_entries": 1}]})  # fmt: skip
    lines = []
    for _ in range(1000):
        chars = list(base)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(chars))
            chars[at : at + rng.randint(0, 2)] = rng.choices('0123456789abcdef{}[],:"nul-e. ', k=rng.randint(0, 3))
        lines.append("".join(chars))
    path = tmp_path / "hostile.jsonl"
    path.write_text("\n".join(lines))
    assert main(["verify", "--batch", str(path)]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 1000
    assert not [row for row in rows if "internal" in row.get("error", "")]


def test_dis_assembles_to_the_same_bytes(asm, capsys) -> None:  # type: ignore[no-untyped-def]
    source = asm("r1 = *(u8 *)(r2 - 8)\nif r1 s> -1 goto +1\nlock *(u64 *)(r10 - 8) += r1\nexit\n")
    assert main(["asm", source, "--json"]) == 0
    before = json.loads(capsys.readouterr().out)["insns"]
    assert main(["dis", source, "--asm"]) == 0
    again = asm(capsys.readouterr().out, "again.s")
    assert main(["asm", again, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["insns"] == before


def test_help_names_every_command_of_the_design(capsys) -> None:  # type: ignore[no-untyped-def]
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for command in "cc asm dis cfg verify explain jit run compare report jumptables selftests plugin lab".split():
        assert f"\n    {command}" in out


LOG = """libbpf: prog 'count': BPF program load failed: Permission denied
libbpf: prog 'count': -- BEGIN PROG LOAD LOG --
0: R1=ctx() R10=fp0
0: (61) r2 = *(u32 *)(r1 +0)          ; R1=ctx() R2=pkt(r=0)
1: (71) r0 = *(u8 *)(r2 +12)
invalid access to packet, off=12 size=1, R2(id=0,off=12,r=0)
R2 offset is outside of the packet
processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
-- END PROG LOAD LOG --
"""


def test_explain_reads_programs_and_logs(asm, capsys, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    assert main(["explain", asm(REJECTED)]) == 1
    assert "reads r0, but on this path r0 holds nothing" in capsys.readouterr().out.replace("\n  ", " ")
    assert main(["explain", asm(ACCEPTED)]) == 0 and "Accepted" in capsys.readouterr().out
    assert main(["explain", asm(LOG, "load.log")]) == 1
    assert "rule packet-bounds" in capsys.readouterr().out
    assert main(["explain", asm(LOG, "load.log"), "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["rule"], answer["pc"], answer["errno"], answer["name"]) == ("packet-bounds", 1, "EACCES", "count")
    assert main(["explain", asm(REJECTED), "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["rule"] == "uninitialised" and answer["insns_processed"] == 1 and answer["path"]
    for text, status in ((LOG, 1), (ACCEPTED, 0)):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        assert main(["explain", "-"]) == status
    capsys.readouterr()


@pytest.mark.parametrize("text", ["", "hello\n", "R\n0: (\n", "\0\1\2"])
def test_explain_refuses_nonsense_in_one_line(text, asm, capsys) -> None:  # type: ignore[no-untyped-def]
    assert main(["explain", asm(text, "nonsense.log")]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and len(captured.err.splitlines()) == 1 and "nonsense.log" in captured.err
