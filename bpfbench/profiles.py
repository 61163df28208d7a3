"""Kernel profiles: what differs between the kernels that bpfbench speaks for, as data.

A profile is named after a kernel (`linux-6.18`) and says which rules its verifier has, which algorithms it runs and
which processor features its JIT was built for.  Code asks a profile a named question; it never compares versions
where a name would do.  `linux-4.18` is the verifier of the slides; `linux-6.18` is today's; `bpfbench` is our own
choice where no kernel has one (used by the NFP back-end's extra optimisations).

| field | meaning |
|---|---|
| `version` | (major, minor) |
| `jit_*` | configuration that shows in generated code, see `jit/` |
| other flags | one verifier rule or algorithm each; the comment on the field says which |
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.errors import UsageError


@final
class Profile:
    """One kernel: its name, its version, and the switches that follow from it."""

    __slots__ = ("name", "version", "flags")

    def __init__(self, name: str, version: tuple[int, int], flags: dict[str, bool] | None = None) -> None:
        self.name = name
        self.version = version
        self.flags: dict[str, bool] = flags if flags is not None else {}

    def has(self, flag: str) -> bool:
        """Is the named rule or feature part of this kernel?  An unknown name is False."""
        return self.flags.get(flag, False)

    def at_least(self, major: int, minor: int) -> bool:
        return self.version >= (major, minor)

    def __repr__(self) -> str:
        return f"Profile({self.name})"


PROFILES: Final[dict[str, Profile]] = {
    p.name: p
    for p in (
        Profile("linux-4.18", (4, 18)),
        Profile("linux-6.1", (6, 1)),
        Profile("linux-6.12", (6, 12)),
        Profile("linux-6.18", (6, 18)),
        Profile("bpfbench", (6, 18)),
    )
}
DEFAULT: Final = "linux-6.18"


def profile(name: str) -> Profile:
    """The profile of that name.

    >>> profile("linux-6.12").version
    (6, 12)
    """
    found = PROFILES.get(name)
    if found is None:
        raise UsageError(f"unknown kernel '{name}'; known: {', '.join(PROFILES)}")
    return found
