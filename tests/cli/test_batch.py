"""Many programs at a time: order, broken ones, workers that die, conversations, interruption, resuming."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bpfbench.cli import main
from bpfbench.cli.pool import Died, arrivals, in_order

DATASETS = Path(__file__).resolve().parents[2] / "datasets"
OBJECTS = [str(DATASETS / f"{name}.o") for name in ("xdp_firewall", "xdp_arp", "xdp_firewall_unchecked", "xdp_dispatcher")]
LOOP = "b7010000000000000701000001000000a501feff{n}b7000000000000009500000000000000"   # r1 = 0; do r1++ while r1 < n
COMMAND = [sys.executable, "-m", "bpfbench"]


def interruptible() -> None:
    """In the child: a process started in the background may have been told to ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def programs(tmp_path: Path, sizes: list[int]) -> str:
    """A file of loops; more rounds take longer to verify."""
    path = tmp_path / "programs.jsonl"
    path.write_text("".join(
        json.dumps({"name": f"p{i}", "prog_type": "xdp", "insns": LOOP.replace("{n}", n.to_bytes(4, "little").hex())}) + "\n"
        for i, n in enumerate(sizes)))  # fmt: skip
    return str(path)


def test_answers_come_in_the_order_of_the_jobs_whichever_is_ready_first(tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    path = programs(tmp_path, [3000, 2, 5, 900, 1, 1, 1])
    said = []
    for processes in ("1", "3"):
        assert main(["verify", "--batch", path, "--processes", processes]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    assert [json.loads(line)["name"] for line in said[0].splitlines()] == [f"p{i}" for i in range(7)]


@pytest.mark.parametrize("command", [["verify"], ["verify", "--static"], ["jit", "--target", "arm"], ["run"], ["explain"]])
def test_files_say_what_each_says_alone(command, capsys) -> None:  # type: ignore[no-untyped-def]
    def rows() -> list[dict[str, object]]:
        found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return [{name: value for name, value in row.items() if name != "seconds"} for row in found]

    statuses, alone = [], []
    for name in OBJECTS[:3]:
        statuses.append(main([*command, name, "--json"]))
        alone += [{"file": name, **row} for row in rows()]
    assert main([*command, *OBJECTS[:3], "--json", "--processes", "2"]) == max(statuses)
    assert rows() == alone and alone


def test_broken_files_give_a_line_each_and_the_others_go_on(tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    for name in OBJECTS:
        (tmp_path / Path(name).name).write_bytes(Path(name).read_bytes())
    (tmp_path / "broken.o").write_bytes(Path(OBJECTS[0]).read_bytes()[:700])
    (tmp_path / "empty.o").write_bytes(b"")
    below = tmp_path / "below"
    below.mkdir()
    (below / "deep.o").write_bytes(b"\x7fELF")
    assert main(["verify", str(tmp_path), str(tmp_path / "missing.o")]) == 2
    captured = capsys.readouterr()
    assert captured.out.count("accepted") == 7 and captured.out.count("rejected") == 1
    *errors, summary = captured.err.splitlines()
    assert [name for line in errors for name in ("deep.o", "broken.o", "empty.o", "missing.o") if name in line] == \
        ["deep.o", "broken.o", "empty.o", "missing.o"]
    assert all(line.startswith("bpfbench: ") and "internal" not in line for line in errors)
    assert summary == "8 files: 3 ok, 1 rejected, 4 with errors"


@pytest.mark.parametrize("argv", [
    ["verify", "{empty}"], ["verify", "{object}", "--batch", "-"], ["verify", "{object}", "{object}", "--processes", "-1"],
    ["jit", "{object}", "{object}", "-o", "x"], ["verify", "{object}", "--resume", "{other}"], ["report", "{empty}"],
    ["report", "{object}", "{object}", "-o", "{object}"],
])  # fmt: skip
def test_a_wrong_call_is_one_line(argv, tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    other = tmp_path / "other.txt"
    other.write_text("mine\n")
    places = {"{empty}": str(tmp_path), "{object}": OBJECTS[0], "{other}": str(other)}
    assert main([places.get(word, word) for word in argv]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and len(captured.err.splitlines()) == 1 and "internal" not in captured.err
    assert other.read_text() == "mine\n"


def test_a_worker_that_dies_takes_one_job_with_it() -> None:
    def answer(job: int) -> int:
        if job == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return job * job

    found = dict(in_order(arrivals(range(8), answer, 2)))
    assert isinstance(found[3], Died) and "SIGKILL" in str(found.pop(3))
    assert found == {job: job * job for job in range(8) if job != 3}


def test_a_conversation_is_answered_line_by_line(tmp_path) -> None:  # type: ignore[no-untyped-def]
    lines = Path(programs(tmp_path, [1, 2, 3])).read_text().splitlines(keepends=True)
    call = [*COMMAND, "verify", "--batch", "-"]
    with subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p:
        assert p.stdin is not None and p.stdout is not None
        for number, line in enumerate(lines):
            p.stdin.write(line)
            p.stdin.flush()
            assert json.loads(p.stdout.readline())["name"] == f"p{number}"
        p.stdin.close()
        assert p.wait(60) == 0


def test_a_closed_standard_input_is_one_line() -> None:
    found = subprocess.run(f"{sys.executable} -m bpfbench verify --batch - <&-", shell=True, capture_output=True, text=True)
    assert found.returncode == 2 and found.stderr == "bpfbench: there is no standard input to read\n"


def test_a_reader_that_goes_away_ends_the_workers() -> None:
    call = f"{sys.executable} -m bpfbench verify {' '.join(OBJECTS * 5)} --processes 2 | head -n 1"
    found = subprocess.run(["bash", "-c", f"set -o pipefail; {call}"], capture_output=True, text=True, timeout=60)
    assert found.stdout.count("\n") == 1 and "Traceback" not in found.stderr and "Exception" not in found.stderr


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_batch_keeps_what_it_found_and_goes_on_from_there(how, tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    sizes = [20] * 10 + [4000] * 12
    path, kept = programs(tmp_path, sizes), tmp_path / "kept.jsonl"
    assert main(["verify", "--batch", path]) == 0
    undisturbed = capsys.readouterr().out
    call = ["verify", "--batch", path, "--resume", str(kept), "--processes", "2"]
    with subprocess.Popen([*COMMAND, *call], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          preexec_fn=interruptible, start_new_session=True) as p:
        assert p.stdout is not None
        first = [p.stdout.readline() for _ in range(10)]
        (os.killpg if how == signal.SIGINT else os.kill)(p.pid, how)      # a terminal sends Ctrl-C to the whole group
        out, err = p.communicate(timeout=60)
        assert p.returncode == 130
        assert len(err.splitlines()) == 1 and "interrupted after" in err and "goes on from there" in err
        with pytest.raises(ProcessLookupError):
            os.killpg(p.pid, 0)                                           # no worker is left behind
    assert undisturbed.startswith("".join(first)) and len("".join([*first, out]).splitlines()) < len(sizes)
    before = kept.read_text().splitlines()
    with kept.open("a") as file:
        file.write('{"key": "torn')                                       # as if the power had gone
    assert main(call) == 0
    assert capsys.readouterr().out == undisturbed
    after = kept.read_text().splitlines()
    assert after[: len(before)] == before
    assert len([line for line in after if "torn" not in line]) == len(sizes)      # nothing was worked out twice


def test_changed_inputs_and_options_are_asked_anew(tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    kept = tmp_path / "kept.jsonl"
    copy = tmp_path / "a.o"
    call = ["verify", str(copy), "--json", "--resume", str(kept)]

    def verdict(*more: str) -> tuple[bool, int]:
        main([*call, *more])
        return json.loads(capsys.readouterr().out)["accepted"], len(kept.read_text().splitlines())

    copy.write_bytes(Path(OBJECTS[0]).read_bytes())
    assert verdict() == (True, 1)
    assert verdict() == (True, 1)                          # from the file
    assert verdict("--kernel", "linux-6.1") == (True, 2)
    copy.write_bytes(Path(OBJECTS[2]).read_bytes())
    assert verdict() == (False, 3)


def test_a_report_of_a_folder_has_a_page_each_and_an_index(tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "broken.o").write_bytes(b"\x7fELF")
    out, kept = tmp_path / "pages", tmp_path / "kept.jsonl"
    call = ["report", *OBJECTS[1:3], str(tmp_path / "broken.o"), "-o", str(out), "--resume", str(kept)]
    assert main(call) == 2
    captured = capsys.readouterr()
    assert len(captured.err.splitlines()) == 1 and "broken.o" in captured.err
    assert sorted(p.name for p in out.iterdir()) == ["index.html", "xdp_arp.html", "xdp_firewall_unchecked.html"]
    index = (out / "index.html").read_text()
    assert "xdp_arp.html#xdp_arp" in index and "R1 offset is outside of the packet" in index and "broken.o" in index
    stamp = (out / "xdp_arp.html").stat().st_mtime_ns
    (out / "xdp_firewall_unchecked.html").unlink()
    assert main(call) == 2
    assert (out / "xdp_firewall_unchecked.html").exists() and (out / "xdp_arp.html").stat().st_mtime_ns == stamp
    assert (out / "index.html").read_text() == index


def test_progress_is_one_line_on_a_terminal_and_nothing_elsewhere(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = programs(tmp_path, [2] * 5)
    plain = subprocess.run([*COMMAND, "verify", "--batch", path], capture_output=True, text=True)
    assert plain.stderr == "" and plain.stdout.count("\n") == 5
    terminal, end = pty.openpty()
    shown = subprocess.run([*COMMAND, "verify", "--batch", path], stdout=subprocess.PIPE, stderr=end, text=True)
    os.close(end)
    drawn = os.read(terminal, 65536).decode()
    os.close(terminal)
    assert shown.stdout == plain.stdout
    assert "5/5" in drawn and "\n" not in drawn and drawn.endswith("\r\x1b[K")
