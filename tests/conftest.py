"""Fixtures shared by all tests: where the optional inputs are, and what to do when they are missing."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent


def recordings_folder() -> Path | None:
    """The recordings of real kernels: $BPFBENCH_RECORDINGS, or shared/data beside the repository."""
    for place in (os.environ.get("BPFBENCH_RECORDINGS", ""), str(ROOT.parent / "shared" / "data")):
        if place and (Path(place) / "kernel-jit").is_dir():
            return Path(place)
    return None


@pytest.fixture(scope="session")
def recordings() -> Path:
    folder = recordings_folder()
    if folder is None:
        pytest.skip("no recordings of real kernels: set BPFBENCH_RECORDINGS to the folder with kernel-jit/")
    return folder


@pytest.fixture(scope="session")
def records(recordings: Path) -> Callable[[str], Iterator[dict[str, Any]]]:
    """records("kernel-jit/x86_64-linux-6.18") yields the JSON objects of one recording file."""

    def read(name: str) -> Iterator[dict[str, Any]]:
        with gzip.open(recordings / f"{name}.jsonl.gz", "rt") as lines:
            for line in lines:
                yield json.loads(line)

    return read


@pytest.fixture(scope="session")
def datasets() -> Path:
    return ROOT / "datasets"


@pytest.fixture(scope="session")
def live_kernel() -> None:
    """Skips, saying why, where bpf(2) is not permitted."""
    from bpfbench import kernel

    state = kernel.available()
    if not state:
        pytest.skip(f"bpf(2) is not permitted here: {state.reason}; run as root on Linux to include these tests")


def pytest_sessionstart(session: pytest.Session) -> None:
    """A test of native code that is older than its source would test something else."""
    built = max((library.stat().st_mtime for library in ROOT.glob("bpfbench_native*.so")), default=0.0)
    for native in (ROOT / "bpfbench").rglob("*.so"):        # each only refers to the library
        source = native.with_name(native.name.split(".")[0] + ".py")
        if source.exists() and source.stat().st_mtime > built:
            pytest.exit(f"{source.relative_to(ROOT)} is newer than its native code: make compile, or make uncompile", 2)


# What a continuous-integration run may lack: nothing that .ci/run installs, only what the machine decides.
CI_MAY_LACK = ("bpf(2)", "not permitted", "no recordings", "linux-source", "BPFBENCH_KERNEL_TREE", "AArch64 host",
               "kernel BTF")  # fmt: skip


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Under BPFBENCH_CI a skip for anything that CI installs is a failure."""
    outcome = yield
    report = outcome.get_result()
    if os.environ.get("BPFBENCH_CI") and report.skipped and not hasattr(report, "wasxfail"):
        reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(allowed in reason for allowed in CI_MAY_LACK):
            report.outcome = "failed"
            report.longrepr = f"skipped in CI, where nothing may be missing: {reason}"
