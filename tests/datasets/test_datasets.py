"""The data sets are what the manifest says: complete, loadable, rebuilt to the same bytes, decided as kernels do."""

from __future__ import annotations

import importlib.util
import json
import struct
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bpfbench.elf import load
from bpfbench.toolchain import available, find_compiler


@pytest.fixture(scope="module")
def manifest(datasets: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((datasets / "datasets.json").read_text())
    return found


@pytest.fixture(scope="module")
def build(datasets: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_datasets", datasets / "build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def frames(path: Path) -> list[bytes]:
    raw, at, found = path.read_bytes(), 24, []
    while at < len(raw):
        (size,) = struct.unpack_from("<I", raw, at + 8)
        found.append(raw[at + 16 : at + 16 + size])
        at += 16 + size
    return found


def test_enough_of_everything(manifest: dict[str, Any]) -> None:
    programs = manifest["programs"]
    assert len({p["source"] for p in programs if p["expectation"] == "accept"}) >= 24
    assert len({p["source"] for p in programs if p["expectation"] == "reject"}) >= 12
    assert len({p["type"] for p in programs}) >= 10


def test_every_file_is_in_the_manifest(manifest: dict[str, Any], datasets: Path) -> None:
    programs = manifest["programs"]
    assert {p["file"] for p in programs} == {path.name for path in datasets.glob("*.o")}
    assert {p["source"] for p in programs} == {path.name for path in datasets.glob("*.c")}
    assert {c for p in programs for c in p.get("captures", [])} <= {
        str(path.relative_to(datasets)) for path in datasets.glob("captures/*.pcap")
    }


def test_objects_hold_the_programs(manifest: dict[str, Any], datasets: Path) -> None:
    for entry in manifest["programs"]:
        obj = load(datasets / entry["file"])
        program = obj.programs[entry["program"]]
        assert (program.type, program.section, len(program)) == (entry["type"], entry["section"], entry["slots"])
        assert not any(i.flaw for i in program.insns if i is not None)
        for name, table in entry.get("maps", {}).items():
            spec = obj.maps[name]
            assert all(len(k) == 2 * spec.key_size and len(v) == 2 * spec.value_size for k, v in table.items())


def test_the_reason_is_on_the_first_line(manifest: dict[str, Any], datasets: Path) -> None:
    for entry in manifest["programs"]:
        first = (datasets / entry["source"]).read_text().splitlines()[0]
        if entry["expectation"] == "reject":
            assert first == f"// rejected: {entry['message']}"
        else:
            assert not first.startswith("// rejected")


@pytest.mark.usefixtures("live_kernel")
def test_the_running_kernel_agrees(build: ModuleType) -> None:
    from bpfbench import kernel

    if "6.18" not in kernel.available().release:
        pytest.skip(f"messages are those of linux-6.18, this is {kernel.available().release}")
    assert build.ask_kernel() == 0


def test_rebuilding_makes_the_same_bytes(
    manifest: dict[str, Any], build: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = manifest["compiler"].removeprefix("clang ")
    monkeypatch.setenv("BPFBENCH_CLANG", f"clang-{wanted.split('.')[0]}")
    if not available() or find_compiler().version != wanted:
        pytest.skip(f"the objects were built with clang {wanted}; apt install clang-{wanted.split('.')[0]}")
    assert build.check() == 0


def test_captures_are_what_their_script_writes(datasets: Path) -> None:
    spec = importlib.util.spec_from_file_location("make_captures", datasets / "captures" / "make.py")
    assert spec is not None and spec.loader is not None
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    made = make.captures()
    assert {path.stem for path in datasets.glob("captures/*.pcap")} == set(made)
    for name, expected in made.items():
        assert frames(datasets / "captures" / f"{name}.pcap") == expected
    assert sum(len(f) for f in made.values()) >= 150


def test_checksums_of_captured_packets_are_right(datasets: Path) -> None:
    """The sum over an IPv4 header with its checksum is all ones, except where a capture means it not to be."""
    good = bad = 0
    for path in datasets.glob("captures/*.pcap"):
        for frame in frames(path):
            if len(frame) >= 34 and frame[12:14] == b"\x08\0" and frame[14] == 0x45:
                total = sum(struct.unpack(">10H", frame[14:34]))
                total = (total & 0xFFFF) + (total >> 16)
                good, bad = (good + 1, bad) if (total & 0xFFFF) + (total >> 16) == 0xFFFF else (good, bad + 1)
    assert good > 100 and bad == 1


@pytest.mark.usefixtures("live_kernel")
def test_the_running_kernel_takes_the_types_of_every_object(datasets: Path) -> None:
    from bpfbench.kernel import syscall

    for path in sorted(datasets.glob("*.o")):
        btf = load(path).btf
        assert btf is not None
        syscall.load_btf(btf.to_bytes()).close()
