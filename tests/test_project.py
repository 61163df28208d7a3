"""The project's own files agree with each other, and speak of bpfbench alone."""

from __future__ import annotations

import re
import subprocess
import tomllib

import pytest

from tests.conftest import ROOT

SAME = {"python-graphviz": "graphviz"}


def name_and_bound(requirement: str) -> tuple[str, str]:
    m = re.match(r"([\w.-]+)\s*(.*)", requirement)
    assert m is not None, requirement
    return SAME.get(m.group(1).lower(), m.group(1).lower()), m.group(2).replace(" ", "")


def test_environment_agrees_with_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = {name_and_bound(r) for r in [*project["dependencies"], *extras["c"], *extras["test"], *extras["docs"]]}
    wanted.add(("python", project["requires-python"]))
    lines = re.findall(r"^\s+- ([\w.-]+[<>=]=?[\d.]+)$", (ROOT / "environment.yml").read_text(), re.M)
    assert {name_and_bound(line) for line in lines} == wanted


def test_no_machine_paths_in_tracked_files() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so there is no list of tracked files")
    pattern = r"/(work|farm|root)/|/tmp/(?!perf-)[a-z]"          # perf itself looks for its maps in /tmp
    found = subprocess.run(["git", "grep", "-nIP", pattern, "--", ".", ":!tests/test_project.py"], cwd=ROOT,
                           capture_output=True, text=True)  # fmt: skip
    assert found.stdout == ""
