"""A process: a program and its shared libraries, loaded together and run as often as one likes.

    start(program, libraries)   read, check versions, verify every module once
    bind                        an import gets its function: at the start (eager) or at its first call (lazy)
    run                         one packet, or whatever the program takes; maps keep their contents
    replace                     another version of a library takes the place of one that is loaded

What can go wrong is refused where it would happen: a missing library or a version too old at the start, a missing
symbol or a wrong prototype when the import is bound.  So is what the verifier cannot see from one module alone: chains of
calls through several of them must have at most eight frames and 512 bytes of stack, and must not come back to a function
that is still running.

The process knows nothing of machine code; an *engine* (engines.py) runs the modules and patches what has been bound.

Source: the rules of ld.so(8), and kernel/bpf/verifier.c `check_max_stack_depth` for the limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, final

from bpfbench.dynlink.forms import Loaded, load_library, load_program
from bpfbench.dynlink.module import Module, satisfies, version_text
from bpfbench.errors import DynlinkError, UsageError, Where
from bpfbench.interp.machine import Result
from bpfbench.program.program import Program

MAX_FRAMES: Final = 8
MAX_STACK: Final = 512
ENGINES: Final = ("interp", "native", "emulate:aarch64", "emulate:x86_64")
Source = str | Path | bytes | Module
Node = tuple[str, str]                  # module, function
Chain = tuple[int, list[str]]           # how long, and through which functions


@final
class LinkEvent:
    """What the linker did: `what` (load, verify, bind, compile, patch, replace, unbind) to which `module` and `symbol`,
    and in words."""

    __slots__ = ("what", "module", "symbol", "text")

    def __init__(self, what: str, module: str, symbol: str, text: str) -> None:
        self.what = what
        self.module = module
        self.symbol = symbol
        self.text = text

    def __repr__(self) -> str:
        return f"<{self.what} {self.module}{'.' + self.symbol if self.symbol else ''}: {self.text}>"


class Process:
    """A loaded program.  `modules` by name, the program's under `main`; `bound` (module, import) -> library.

    A context manager: `close` ends what the engine holds.
    """

    def __init__(self, program: Source, libraries: Sequence[Source] = (), engine: str = "interp", lazy: bool = False,
                 name: str = "", kernel: str = "linux-6.18") -> None:
        if engine not in ENGINES:
            raise UsageError(f"unknown engine '{engine}' for linked programs; there are: {', '.join(ENGINES)}")
        self.kernel = kernel
        self.lazy = lazy
        self.events: list[LinkEvent] = []
        self.modules: dict[str, Loaded] = {}
        self.bound: dict[tuple[str, str], str] = {}
        self.of_program: dict[int, Loaded] = {}
        main = load_program(_module(program), name, kernel)
        self.main = main.module.name
        self._admit(main)
        for given in libraries:
            self._admit(self._library(_module(given)))
        for loaded in self.modules.values():
            self.check_needs(loaded.module)
        self._check_maps()
        if not lazy:
            for loaded in list(self.modules.values()):
                for symbol in loaded.imports:
                    self.bind(loaded, symbol)
        from bpfbench.dynlink.engines import make_engine

        self.engine = make_engine(self, engine)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def close(self) -> None:
        """End the engine: memory, images, the child process."""
        self.engine.close()

    # -- loading ----------------------------------------------------------------------------------------------------------

    @property
    def program(self) -> Program:
        """The program, in the form that is executed."""
        return self.modules[self.main].executed

    def _library(self, module: Module) -> Loaded:
        if not module.is_library:
            raise DynlinkError("not a library: no BPF_LIBRARY(\"name major.minor\")", Where(file=module.file))
        return load_library(module, self.modules[self.main].verified, self.kernel)

    def _admit(self, loaded: Loaded) -> None:
        module = loaded.module
        if module.name in self.modules:
            raise DynlinkError(f"library {module.name} is given twice: {self.modules[module.name].module.title} and "
                               f"{module.title}", Where(file=module.file))
        self.modules[module.name] = loaded
        self.of_program[id(loaded.executed)] = loaded
        self.note("verify", module.name, "", f"{module.title}: {loaded.verification!r}")

    def note(self, what: str, module: str, symbol: str, text: str) -> None:
        self.events.append(LinkEvent(what, module, symbol, text))

    def check_needs(self, module: Module, instead: Module | None = None) -> None:
        """DynlinkError unless every library that a module needs is there, new enough; `instead` as if it were loaded."""
        for name, wanted in module.needs:
            found = self.modules[name].module if name in self.modules else None
            if instead is not None and instead.name == name:
                found = instead
            if found is None or found.version is None:
                raise DynlinkError(f"library {name} {version_text(wanted)} is missing; {module.name} needs it",
                                   Where(file=module.file))
            if not satisfies(found.version, wanted):
                raise DynlinkError(f"{found.title} is there, but {module.name} needs {name} {version_text(wanted)} or a "
                                   f"later {wanted[0]}.x", Where(file=found.file))

    def _check_maps(self) -> None:
        """Maps of one name are one map, so they must have one shape."""
        seen: dict[str, tuple[tuple[object, ...], str]] = {}
        for loaded in self.modules.values():
            for spec in loaded.executed.maps:
                shape = (spec.type, spec.key_size, spec.value_size, spec.max_entries, spec.flags)
                first, other = seen.setdefault(spec.name, (shape, loaded.module.name))
                if first != shape:
                    raise DynlinkError(f"map '{spec.name}' of {loaded.module.name} is not the one of {other}",
                                       Where(file=loaded.module.file))

    # -- binding ----------------------------------------------------------------------------------------------------------

    def search(self, module: Module) -> list[Loaded]:
        """The libraries where a module's imports are looked for, in order: those it needs, or all if it names none."""
        names = [name for name, _ in module.needs] or [n for n, one in self.modules.items() if one.module.is_library]
        return [self.modules[name] for name in names if name in self.modules and name != module.name]

    def provider(self, module: Module, symbol: str) -> Loaded | None:
        """The library that an import of a module comes from: the first one searched that exports it."""
        return next((library for library in self.search(module) if symbol in library.module.exports), None)

    def bind(self, user: Loaded, symbol: str) -> Loaded:
        """The library that an import of a module is bound to, after binding it if it was not."""
        key = user.module.name, symbol
        if key in self.bound:
            return self.modules[self.bound[key]]
        library = self.provider(user.module, symbol)
        if library is None:
            looked = ", ".join(one.module.title for one in self.search(user.module)) or "no library"
            raise DynlinkError(f"undefined: '{symbol}' (needed by {user.module.name}); looked in {looked}",
                               Where(file=user.module.file))
        user.module.must_agree(symbol, library.module)
        self.bound[key] = library.module.name
        try:
            self.check_chains()
        except DynlinkError:
            del self.bound[key]
            raise
        self.note("bind", user.module.name, symbol, library.module.title)
        return library

    def target(self, program: Program, number: int) -> tuple[Loaded, str]:
        """Where import `number` of an executed program goes: the library, and the name of the function."""
        user = self.of_program[id(program)]
        symbol = user.imports[number]
        return self.bind(user, symbol), symbol

    def check_chains(self) -> None:
        """The limits of Linux on chains of calls, through everything that is bound."""
        frames, stack = self._below((self.main, self.program.name), [], {}, {})
        for limit, longest, what in ((MAX_FRAMES, frames, "frames"), (MAX_STACK, stack, "bytes of stack")):
            if longest[0] > limit:
                raise DynlinkError(f"{longest[0]} {what}, more than {limit}: {' -> '.join(longest[1])}", Where())

    def _below(self, at: Node, path: list[str], frames: dict[Node, Chain], stack: dict[Node, Chain]) -> tuple[Chain, Chain]:
        """The chains of calls from a function on with most frames and with most stack; each function is asked once."""
        here = f"{at[0]}.{at[1]}"
        if here in path:
            raise DynlinkError(f"recursion between modules: {' -> '.join([*path[path.index(here):], here])}", Where())
        if at not in frames:
            function = self.modules[at[0]].functions[at[1]]
            callees = [(at[0], name) for name in sorted(function.calls)]
            callees += [(self.bound[at[0], name], name) for name in sorted(function.imports) if (at[0], name) in self.bound]
            found = [self._below(callee, [*path, here], frames, stack) for callee in callees]
            most = max((f for f, _ in found), default=(0, []), key=_length)
            deepest = max((s for _, s in found), default=(0, []), key=_length)
            frames[at] = most[0] + 1, [here, *most[1]]
            stack[at] = deepest[0] + function.stack, [here, *deepest[1]]
        return frames[at], stack[at]

    # -- running and replacing ------------------------------------------------------------------------------------------

    def run(self, data: bytes | str = b"", ctx: Any = None) -> Result:
        """Run the program once; `data` and `ctx` as of `interp.run`.  Maps keep their contents from run to run."""
        return self.engine.run(data, ctx)

    def replace(self, source: Source) -> None:
        """Put another version in the place of the library of that name, while everything stays loaded.

        It must satisfy all who need it and export what has been bound, with the same prototypes; otherwise DynlinkError,
        and the old one stays.  Its maps are the old one's; its data sections are its own.
        """
        module = _module(source)
        old = self.modules.get(module.name)
        if old is None or not module.is_library:
            raise DynlinkError(f"library {module.name} is not loaded, so it cannot be replaced", Where(file=module.file))
        users = [(self.modules[user], symbol) for (user, symbol), name in self.bound.items() if name == module.name]
        for loaded in self.modules.values():
            if loaded is not old:
                self.check_needs(loaded.module, module)
        self.check_needs(module)
        for user, symbol in users:
            if symbol not in module.exports:
                raise DynlinkError(f"{module.title} has no '{symbol}', which {user.module.name} uses",
                                   Where(file=module.file))
            user.module.must_agree(symbol, module)
        new = self._library(module)
        self._swap(old, new)
        self.engine.replaced(old, new)

    def _swap(self, old: Loaded, new: Loaded) -> None:
        name = new.module.name
        before = dict(self.bound)
        self.modules[name] = new
        self.of_program[id(new.executed)] = new
        self.bound = {key: library for key, library in self.bound.items() if key[0] != name}
        if self.lazy:
            self.bound = {key: library for key, library in self.bound.items() if library != name}
        mark = len(self.events)
        try:
            self._check_maps()
            for symbol in [] if self.lazy else new.imports:
                self.bind(new, symbol)
            self.check_chains()
        except DynlinkError:
            self.modules[name], self.bound = old, before
            del self.events[mark:]
            raise
        self.events.insert(mark, LinkEvent("replace", name, "", f"{old.module.title} by {new.module.title}"))

    def report(self) -> str:
        """The modules and where each import goes, line by line."""
        lines: list[str] = []
        for name, loaded in self.modules.items():
            module = loaded.module
            needs = ", ".join(f"{n} {version_text(v)}" for n, v in module.needs)
            lines.append(f"{module.title}{' needs ' + needs if needs else ''}: {loaded.verification!r}")
            for symbol in loaded.imports:
                library = self.bound.get((name, symbol))
                goes = self.modules[library].module.title if library is not None else "not bound yet"
                lines.append(f"  {symbol:24s} {goes:16s} {module.prototype(symbol)}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Process({', '.join(loaded.module.title for loaded in self.modules.values())})"


def _length(chain: Chain) -> int:
    return chain[0]


def _module(source: Source) -> Module:
    return source if isinstance(source, Module) else Module(source)


def start(program: Source, libraries: Sequence[Source] = (), engine: str = "interp", lazy: bool = False, name: str = "",
          kernel: str = "linux-6.18") -> Process:
    """Load a program with its shared libraries.

    `program`, `libraries`  object files (paths, bytes or `Module`s) · `name` which program, if the object has several
    `engine`                interp, native (a child process) or emulate:TARGET
    `lazy`                  bind imports at their first call instead of now
    Raises DynlinkError naming the module and what is wrong with it.

    >>> import bpfbench
    >>> folder = Path(bpfbench.__file__).parent.parent / "datasets" / "libraries"
    >>> with start(folder / "meter.o", [folder / f"{name}.o" for name in ("checksum", "counters", "headers")]) as process:
    ...     process.run(bytes(64)).r0
    2
    """
    return Process(program, libraries, engine, lazy, name, kernel)
