"""Many programs at a time: files, folders and lines of program JSON, on all cores.

    bpfbench verify datasets                      every object in the folder
    bpfbench jit a.o b.o --target arm             the files named
    bpfbench verify --batch programs.jsonl        a program JSON per line

Answers come in the order of the input, each as soon as those before it are there.  One that fails gives one line and
the others go on.  `--resume FILE` writes every answer into FILE as it comes, a JSON line each; the same command with
the same FILE shows what is there and works out only what is not: output and status are those of an undisturbed run.
An answer belongs to the content of its input and to the options of the call, so changing either asks anew.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, final

from bpfbench import __version__
from bpfbench.cli.pool import Died, arrivals, cores, in_order
from bpfbench.cli.progress import Bar
from bpfbench.errors import BpfbenchError, UsageError, Where

WRONG = 2
INTERRUPTED = 130
NEUTRAL = {"run", "file", "files", "batch", "processes", "resume", "debug"}  # options that change no answer


def wanted(args: argparse.Namespace) -> bool:
    """Does the call name more than one file?  If it names one, `args.file` is that one."""
    if not hasattr(args, "files"):
        return False
    named: list[str] = args.files
    args.file = named[0] if named else None
    if getattr(args, "batch", None):
        if named:
            raise UsageError(f"--batch reads {args.batch}; what is {named[0]} for?")
        return False
    return len(named) > 1 or any(Path(name).is_dir() for name in named) or bool(named and args.resume)


def expand(names: Iterable[str]) -> list[str]:
    """The files named, and the objects in the folders named and below them."""
    found: list[str] = []
    for name in names:
        if not Path(name).is_dir():
            found.append(name)
            continue
        objects = sorted(str(path) for path in Path(name).rglob("*.o") if path.is_file())
        if not objects:
            raise UsageError("no objects (*.o) in this folder", Where(file=name))
        found += objects
    return found


def answer_files(args: argparse.Namespace) -> int:
    """What the command says about each file, in order; the status is the worst of all."""
    files = expand(args.files)
    if getattr(args, "output", None) and args.command != "report":
        raise UsageError("-o is for one file")
    kept = Kept(args)
    count = {0: 0, 1: 0, WRONG: 0}

    def key(name: str) -> str:
        try:
            return kept.key(name.encode(), Path(name).read_bytes())
        except OSError:
            return ""

    def show(name: str, found: Any) -> None:
        status, out, err = found if not isinstance(found, Died) else (WRONG, "", f"bpfbench: {name}: {found}\n")
        count[status] = count.get(status, 0) + 1
        sys.stdout.write(_marked(name, out, args))
        sys.stdout.flush()
        sys.stderr.write(err)

    finished = run(files, lambda name: _alone(args, name), key, show, kept, args.processes, total=len(files))
    if not args.json:
        print(f"{len(files)} files: {count[0]} ok, {count[1]} rejected, {count[WRONG]} with errors"
              + ("" if finished else "; interrupted"), file=sys.stderr)
    return max((status for status, n in count.items() if n), default=0) if finished else INTERRUPTED


def _alone(args: argparse.Namespace, name: str) -> tuple[int, str, str]:
    """Status, stdout and stderr of the command on one file."""
    from bpfbench.cli import answer

    out, err = io.StringIO(), io.StringIO()
    call = argparse.Namespace(**{name: value for name, value in vars(args).items() if name != "files"}, each=True)
    call.file = name
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = answer(call)
    return status, out.getvalue(), err.getvalue()


def _marked(name: str, text: str, args: argparse.Namespace) -> str:
    """The output with the file's name: in every JSON row, before every line of verdicts, or on a line above it."""
    lines = text.splitlines()
    if args.json:
        rows = []
        for line in lines:
            row = json.loads(line)
            rows.append(json.dumps({"file": name, **row} if isinstance(row, dict) else {"file": name, "answer": row}) + "\n")
        return "".join(rows)
    if all(not line.startswith(" ") and ": " in line for line in lines) and len(lines) < 100:
        return "".join(f"{name}: {line}\n" for line in lines)
    return f"{name}:\n" + "".join(f"{line}\n" for line in lines)


def batch(args: argparse.Namespace, answer: Callable[[dict[str, Any], Any], dict[str, Any]]) -> int:
    """One JSON line out for each line in; a bad line gives {"name", "error"} and the batch goes on."""
    kept = Kept(args)
    bar_total = _count(args.batch) if sys.stderr.isatty() else 0

    def show(job: tuple[int, str], found: Any) -> None:
        row = found if not isinstance(found, Died) else {"name": _label(*job), "error": str(found)}
        print(json.dumps(row, separators=(",", ":")), flush=True)

    source = -1
    if args.batch == "-":
        if sys.stdin is None:
            raise UsageError("there is no standard input to read")
        with contextlib.suppress(OSError, ValueError):
            source = sys.stdin.fileno()
    jobs = _jobs(stdin_lines(source) if source >= 0 else lines(args.batch))
    finished = run(jobs, lambda job: _row(job, answer), lambda job: kept.key(b"line", job[1].encode()), show, kept,
                   args.processes, bar_total, source)
    return 0 if finished else INTERRUPTED


def _jobs(texts: Iterable[str | None]) -> Iterator[tuple[int, str] | None]:
    number = 0
    for text in texts:
        number += text is not None
        if text is None:
            yield None
        elif text.strip():
            yield number, text


def _label(number: int, line: str) -> str:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return f"line {number}"
    return str(record.get("name", f"line {number}")) if isinstance(record, dict) else f"line {number}"


def _row(job: tuple[int, str], answer: Callable[[dict[str, Any], Any], dict[str, Any]]) -> dict[str, Any]:
    from bpfbench.program.program import Program

    number, line = job
    label = _label(number, line)
    try:
        record = json.loads(line)
        return {"name": label, **answer(record, Program.from_json(record))}
    except BpfbenchError as error:
        return {"name": label, "error": str(error).splitlines()[0]}
    except (ValueError, RecursionError) as error:
        return {"name": label, "error": f"not JSON: {error}"}
    except Exception as error:
        return {"name": label, "error": f"internal error: {type(error).__name__}: {error}"}


def run(jobs: Iterable[Any], answer: Callable[[Any], Any], key: Callable[[Any], str], show: Callable[[Any, Any], None],
        kept: Kept, processes: int, total: int = 0, source: int = -1) -> bool:
    """Answer all jobs on `processes` cores (0: all), show the answers in order; False if interrupted."""
    if processes < 0:
        raise UsageError(f"--processes {processes}: at least 1, or 0 for one per processor")
    bar = Bar(quiet=True)
    done = 0

    def known(asked: Any) -> Any:
        """The answer, and whether it is new: a worker looks nothing up, the parent has put it into the job."""
        job, found = asked
        return found if found is not None else answer(job)

    def recorded() -> Iterator[tuple[int, Any, Any]]:
        nonlocal done
        for number, (job, old), found in arrivals(asked(), known, min(processes or cores(), total or 1 << 30), source):
            if old is None and not isinstance(found, Died):
                kept.put(key(job), found)
            done += 1
            bar(done, total, str(job[0] if isinstance(job, tuple) else job))
            yield number, job, found

    def asked() -> Iterator[tuple[Any, Any] | None]:
        for job in jobs:
            yield None if job is None else (job, kept.get(key(job)))

    with kept, _interruptible():
        try:
            for job, found in in_order(recorded()):
                bar.clear()
                show(job, found)
        except KeyboardInterrupt:
            bar.clear()
            again = "the same command goes on from there" if kept.path else "--resume FILE keeps the answers"
            print(f"bpfbench: interrupted after {done}{f' of {total}' if total else ''}; {again}", file=sys.stderr)
            return False
        finally:
            bar.clear()
    return True


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """A polite kill counts as Ctrl-C."""
    def stop(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:                                     # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@final
class Kept:
    """The answers of --resume by key: read at the start, appended to as they come.  A line torn by a crash is skipped."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.path: str = args.resume
        settings = {name: str(value) for name, value in sorted(vars(args).items()) if name not in NEUTRAL}
        settings |= {"bpfbench": __version__, "kernel release": os.uname().release}
        self.settings = json.dumps(settings, sort_keys=True).encode()
        self.found: dict[str, Any] = {}
        self.file: io.TextIOWrapper | None = None

    def key(self, *parts: bytes) -> str:
        digest = hashlib.sha256(self.settings)
        for part in parts:
            digest.update(len(part).to_bytes(8, "little") + part)
        return digest.hexdigest()[:32]

    def get(self, key: str) -> Any:
        return self.found.get(key)

    def put(self, key: str, answer: Any) -> None:
        if self.file is not None and key:
            self.file.write(json.dumps({"key": key, "answer": answer}, separators=(",", ":")) + "\n")
            self.file.flush()

    def __enter__(self) -> Kept:
        if not self.path:
            return self
        path = Path(self.path)
        torn = False
        if path.exists():
            text = path.read_text(encoding="utf-8", errors="replace")
            torn = bool(text) and not text.endswith("\n")
            if text and not text.startswith('{"key":"'):   # somebody's other file: leave it alone
                raise UsageError("not a file that --resume has written", Where(file=self.path))
            for line in text.splitlines():
                with contextlib.suppress(ValueError, TypeError, KeyError):
                    record = json.loads(line)
                    self.found[record["key"]] = record["answer"]
        self.file = path.open("a", encoding="utf-8")
        if torn:
            self.file.write("\n")
        return self

    def __exit__(self, *failure: object) -> None:
        if self.file is not None:
            self.file.close()


def lines(name: str) -> Iterator[str]:
    """The lines of a file, also of a compressed one; "-" is standard input."""
    if name == "-":
        yield from sys.stdin
    elif name.endswith(".gz"):
        import gzip

        with gzip.open(name, "rt", errors="replace") as compressed:
            yield from compressed
    else:
        with open(name, errors="replace") as file:
            yield from file


def stdin_lines(source: int) -> Iterator[str | None]:
    """The lines of a descriptor, and None whenever one would have to wait for the next."""
    from select import select

    rest = b""
    while True:
        if not select([source], [], [], 0)[0]:
            yield None
            continue
        piece = os.read(source, 1 << 16)
        if not piece:
            break
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", errors="replace")
    if rest:
        yield rest.decode("utf-8", errors="replace")


def _count(name: str) -> int:
    """How many lines there are, for the bar; 0 where counting means waiting or unpacking."""
    if name == "-" or name.endswith(".gz"):
        return 0
    with open(name, "rb") as file:
        return sum(1 for line in file if line.strip())
