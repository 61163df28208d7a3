"""Reading C tables without a compiler: an evaluator of expressions and initialisers over preprocessed tokens.

The kernel's verifier tests are C arrays of structures, written with macros.  Reading them takes four things, and only
these four are here: tokens, macro expansion (`#define`, `#if`, `#`, `##`), constant expressions (with sizeof and
offsetof), and brace initialisers with designators.  Headers supply enumerations and structure layouts.

    "{ .insns = { BPF_MOV64_IMM(BPF_REG_0, 1 << 2), BPF_EXIT_INSN() }, .result = ACCEPT }"
        | tokens | expand macros | evaluate |
    Braces([(".insns", Braces([("", [slot]), ("", [slot])])), (".result", 1)])

What a name that is called like a function gives, `BPF_MOV64_IMM(…)`, is decided by a table that the caller supplies.

Tokens and macros are in c_tokens.py.  Reference: C11 6.7.9 (initialisation); x86-64 ABI for sizes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, final

from bpfbench.errors import KernelError, Where
from bpfbench.kernel.c_tokens import Preprocessor, Token

_ESCAPES: Final = {"n": "\n", "t": "\t", "0": "\0", "\\": "\\", '"': '"', "'": "'", "r": "\r"}

Slot = tuple[int, int, int, int, int]            # code, dst, src, off, imm of one instruction slot
Value = "int | str | list[Slot] | Braces"

_SIZES: Final = {
    "__u8": 1, "__s8": 1, "u8": 1, "char": 1, "uint8_t": 1, "__u16": 2, "__s16": 2, "__be16": 2, "u16": 2, "short": 2,
    "__u32": 4, "__s32": 4, "__be32": 4, "u32": 4, "int": 4, "unsigned": 4, "uint32_t": 4, "__wsum": 4, "enum": 4,
    "__u64": 8, "__s64": 8, "__be64": 8, "u64": 8, "s64": 8, "long": 8, "uint64_t": 8, "size_t": 8, "s32": 4, "s16": 2,
    "__aligned_u64": 8, "__aligned_u64 ": 8, "bool": 1, "_Bool": 1,
}
_SIGNED: Final = frozenset(("__s8", "__s16", "__s32", "__s64", "int", "char", "short", "long", "s16", "s32", "s64"))
_TYPE_WORDS: Final = frozenset(_SIZES) | {"struct", "union", "const", "signed", "volatile", "void"}


@final
class Braces:
    """A brace initialiser: `items` are (designator, value); the designator is ".name", "[3]" or ""."""

    __slots__ = ("items",)

    def __init__(self, items: list[tuple[str, object]]) -> None:
        self.items = items

    def fields(self) -> dict[str, object]:
        """The designated members, without the dot."""
        return {key[1:]: value for key, value in self.items if key.startswith(".")}

    def __repr__(self) -> str:
        return f"Braces({self.items})"


@final
class Source(Preprocessor):
    """Macros, constants and structures from headers, and what names that are called like functions stand for."""

    def __init__(self, calls: dict[str, Callable[..., object]]) -> None:
        super().__init__()
        self.constants: dict[str, int] = {"__BYTE_ORDER__": 1234, "__ORDER_LITTLE_ENDIAN__": 1234,
                                          "__ORDER_BIG_ENDIAN__": 4321}
        self.structs: dict[str, Struct] = {}
        self.calls = calls

    def evaluate(self, tokens: list[Token], file: str) -> bool:
        try:
            return bool(Evaluator(self, tokens, file).constant())
        except KernelError:
            return False                                    # an unknown name is 0 in a condition

    def learn(self, text: str, file: str = "") -> None:
        """Take macros, enumerations and structures from a header."""
        tokens = self.read(text, file)
        for i in range(len(tokens) - 2):
            word = tokens[i].text
            if word == "enum" and (tokens[i + 1].text == "{" or tokens[i + 2].text == "{"):
                self._enumeration(tokens, i + (2 if tokens[i + 1].text == "{" else 3), file)
            elif word in ("struct", "union") and tokens[i + 1].kind == "id" and tokens[i + 2].text == "{":
                try:
                    reader = Evaluator(self, tokens, file, i + 3)
                    self.structs[tokens[i + 1].text] = reader.structure(word == "union")
                except KernelError:
                    continue                                # needs a type that is not in the headers: not used then

    def _enumeration(self, tokens: list[Token], at: int, file: str) -> None:
        value = 0
        while at < len(tokens) and tokens[at].text != "}":
            name = tokens[at].text
            at += 1
            if at < len(tokens) and tokens[at].text == "=":
                reader = Evaluator(self, tokens, file, at + 1)
                try:
                    value = reader.constant()
                except KernelError:
                    return
                at = reader.at
            self.constants[name] = value
            value += 1
            if at < len(tokens) and tokens[at].text == ",":
                at += 1


@final
class Struct:
    """A structure's layout: `size` and `align` in bytes; `members` name -> (offset, size)."""

    __slots__ = ("size", "align", "members")

    def __init__(self) -> None:
        self.size = 0
        self.align = 1
        self.members: dict[str, tuple[int, int]] = {}


_PRECEDENCE: Final = {"||": 1, "&&": 2, "|": 3, "^": 4, "&": 5, "==": 6, "!=": 6, "<": 7, ">": 7, "<=": 7, ">=": 7,
                      "<<": 8, ">>": 8, "+": 9, "-": 9, "*": 10, "/": 10, "%": 10}


def _binary(op: str, a: int, b: int) -> int:
    if op in ("/", "%"):
        if b == 0:
            raise KernelError("division by zero in a constant expression")
        quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
        return quotient if op == "/" else a - quotient * b
    if op in ("<<", ">>"):
        if not 0 <= b < 4096:
            raise KernelError(f"shift by {b} in a constant expression")
        return a << b if op == "<<" else a >> b
    return {"||": int(bool(a or b)), "&&": int(bool(a and b)), "|": a | b, "^": a ^ b, "&": a & b, "==": int(a == b),
            "!=": int(a != b), "<": int(a < b), ">": int(a > b), "<=": int(a <= b), ">=": int(a >= b), "+": a + b,
            "-": a - b, "*": a * b}[op]


@final
class Evaluator:
    """A cursor over expanded tokens that evaluates expressions, initialisers and structure bodies."""

    def __init__(self, source: Source, tokens: list[Token], file: str = "", at: int = 0) -> None:
        self.source = source
        self.tokens = tokens
        self.file = file
        self.at = at
        self.depth = 0

    def wrong(self, message: str) -> KernelError:
        line = self.tokens[min(self.at, len(self.tokens) - 1)].line if self.tokens else 0
        return KernelError(message, Where(self.file, line))

    def peek(self, ahead: int = 0) -> str:
        return self.tokens[self.at + ahead].text if self.at + ahead < len(self.tokens) else ""

    def take(self, wanted: str = "") -> Token:
        if self.at >= len(self.tokens):
            raise self.wrong(f"the table ends where {wanted or 'a value'!r} should be")
        token = self.tokens[self.at]
        if wanted and token.text != wanted:
            raise self.wrong(f"expected {wanted!r}, found {token.text!r}")
        self.at += 1
        return token

    # Initialisers

    def initialiser(self) -> object:
        if self.peek() == "{":
            return self.braces()
        return self.expression()

    def braces(self) -> Braces:
        self.take("{")
        self.depth += 1
        if self.depth > 50:
            raise self.wrong("initialisers are nested too deeply")
        items: list[tuple[str, object]] = []
        while self.peek() != "}":
            key = ""
            while self.peek() in (".", "["):
                if self.take().text == ".":
                    key += "." + self.take().text
                else:
                    key += f"[{self.constant()}]"
                    self.take("]")
            if key:
                self.take("=")
            items.append((key, self.initialiser()))
            if self.peek() == ",":
                self.take()
        self.take("}")
        self.depth -= 1
        return Braces(items)

    # Expressions

    def constant(self) -> int:
        value = self.expression()
        if not isinstance(value, int):
            raise self.wrong("a number is wanted here")
        return value

    def expression(self, least: int = 0) -> object:
        left = self.unary()
        while True:
            op = self.peek()
            if op == "?" and least == 0:
                self.take()
                yes = self.expression()
                self.take(":")
                no = self.expression()
                return yes if left else no
            precedence = _PRECEDENCE.get(op, 0)
            if precedence <= least:
                return left
            self.take()
            right = self.expression(precedence)
            if not isinstance(left, int) or not isinstance(right, int):
                raise self.wrong(f"operator {op!r} on something that is not a number")
            left = _binary(op, left, right)

    def unary(self) -> object:
        self.depth += 1
        if self.depth > 150:
            raise self.wrong("expressions are nested too deeply")
        value = self._unary()
        self.depth -= 1
        return value

    def _unary(self) -> object:
        op = self.peek()
        if op in ("-", "~", "!", "+", "&"):
            self.take()
            value = self.unary()
            if not isinstance(value, int):
                return value
            return {"-": -value, "~": ~value, "!": int(not value), "+": value, "&": value}[op]
        if op == "(" and self.peek(1) in _TYPE_WORDS:
            self.take()
            size, signed = self.type_name()
            self.take(")")
            if self.peek() == "{":
                return self.braces()
            value = self.unary()
            return _cast(value, size, signed) if isinstance(value, int) else value
        return self.primary()

    def primary(self) -> object:
        token = self.take()
        if token.text == "(":
            value = self.expression()
            self.take(")")
            return value
        if token.kind == "num":
            return _number(token.text, self)
        if token.kind == "char":
            return ord(_unquote(token.text)[:1] or "\0")
        if token.kind == "str":
            text = _unquote(token.text)
            while self.at < len(self.tokens) and self.tokens[self.at].kind == "str":
                text += _unquote(self.take().text)
            return text
        if token.text == "sizeof":
            self.take("(")
            size, _ = self.type_name()
            self.take(")")
            return size
        if token.text in ("offsetof", "offsetofend"):
            return self.offset(token.text == "offsetofend")
        if token.text in self.source.calls:
            return self.call(token.text)
        if token.kind == "id" and token.text in self.source.constants:
            return self.source.constants[token.text]
        self.at -= 1
        raise self.wrong(f"unknown name {token.text!r}")

    def call(self, name: str) -> object:
        arguments: list[object] = []
        if self.peek() == "(":
            self.take("(")
            while self.peek() != ")":
                arguments.append(self.expression())
                if self.peek() == ",":
                    self.take()
            self.take(")")
        try:
            return self.source.calls[name](*arguments)
        except TypeError:
            raise self.wrong(f"{name} with {len(arguments)} arguments of these kinds") from None

    def offset(self, end: bool) -> int:
        self.take("(")
        self.take("struct")
        struct = self.source.structs.get(self.take().text)
        self.take(",")
        name = self.take().text
        index = 0
        if self.peek() == "[":
            self.take()
            index = self.constant()
            self.take("]")
        self.take(")")
        if struct is None or name not in struct.members:
            raise self.wrong(f"offsetof of an unknown member {name!r}")
        at, size = struct.members[name]
        width = struct.members.get(name + "[]", (0, size))[1]
        return at + index * width + (size if end else 0)

    # Types

    def type_name(self) -> tuple[int, bool]:
        """(size in bytes, signed) of a type in a cast or sizeof; pointers are 8 bytes."""
        size, signed = 4, True
        while self.peek() in _TYPE_WORDS or self.peek() in ("*",):
            word = self.take().text
            if word in ("struct", "union"):
                struct = self.source.structs.get(self.take().text)
                size = struct.size if struct is not None else 0
            elif word == "*":
                size, signed = 8, False
            elif word == "unsigned":
                size, signed = 4, False
                if self.peek() in _SIZES:
                    size = _SIZES[self.take().text]
            elif word in _SIZES:
                size, signed = max(_SIZES[word], size if word == "int" and size == 8 else 0), word in _SIGNED
        return size, signed

    def structure(self, union: bool) -> Struct:
        """The layout of the members up to the closing brace (which is consumed)."""
        layout = Struct()
        bit = 0                                             # next free bit
        while self.peek() != "}":
            inner: Struct | None = None
            size = 0
            while self.peek() in ("const", "volatile", "__attribute__", "__rcu", "__kptr"):
                self.take()
            word = self.take().text
            if word in ("struct", "union"):
                if self.peek() != "{":
                    name = self.take().text
                    if self.peek() != "{":
                        known = self.source.structs.get(name)
                        inner, size = known, known.size if known is not None else 0
                if self.peek() == "{":
                    self.take()
                    inner = self.structure(word == "union")
                    size = inner.size
                self._attributes(inner)
            elif word == "enum":
                self.take()
                size = 4
            elif word == "unsigned" and self.peek() in _SIZES:
                size = _SIZES[self.take().text]
            elif word == "bpf_user_pt_regs_t":
                size = 168
            elif word == "void":
                size = 1
            elif word in _SIZES:
                size = _SIZES[word]
            else:
                raise self.wrong(f"unknown type {word!r}")
            while self.peek() in ("long", "int"):           # long long, unsigned long int
                self.take()
            bit = self._declarators(layout, union, bit, size, inner)
        self.take("}")
        layout.size = max(layout.size, (bit + 7) // 8)
        layout.size = -(-layout.size // layout.align) * layout.align
        return layout

    def _attributes(self, struct: Struct | None) -> None:
        while self.peek() == "__attribute__":
            self.take()
            depth = 0
            while True:
                word = self.take().text
                depth += (word == "(") - (word == ")")
                if word == "aligned" and struct is not None and self.peek() == "(":
                    struct.align = max(struct.align, int(self.peek(1), 0))
                if depth == 0:
                    break

    def _declarators(self, layout: Struct, union: bool, bit: int, size: int, inner: Struct | None) -> int:
        while True:
            width, align = size, (inner.align if inner is not None else min(size, 8) or 1)
            while self.peek() == "*":
                self.take()
                width, align, inner = 8, 8, None
            name = self.take().text if self.tokens[self.at].kind == "id" else ""
            count = 1
            element = width
            while self.peek() == "[":
                self.take()
                count *= self.constant() if self.peek() != "]" else 0
                self.take("]")
                name, width = name, element * count
            if self.peek() == ":":
                self.take()
                bits = self.constant()
                if union:
                    bit = max(bit, bits)
                elif bit // (8 * size) != (bit + bits - 1) // (8 * size):
                    bit = -(-bit // (8 * size)) * 8 * size + bits
                else:
                    bit += bits
            else:
                self._attributes(None)
                at = 0 if union else -(-((bit + 7) // 8) // align) * align
                layout.align = max(layout.align, align)
                _place(layout, name, at, width, element if count != 1 or width != element else 0, inner)
                bit = max(bit, 8 * width) if union else 8 * (at + width)
            if self.take().text != ",":
                return bit


def _place(layout: Struct, name: str, at: int, width: int, element: int, inner: Struct | None) -> None:
    if name:
        layout.members[name] = (at, width)
        if element:
            layout.members[name + "[]"] = (at, element)
    elif inner is not None:                                 # anonymous: its members are ours
        for member, (offset, size) in inner.members.items():
            layout.members[member] = (at + offset if not member.endswith("[]") else at + offset, size)
    layout.size = max(layout.size, at + width)


def _cast(value: int, size: int, signed: bool) -> int:
    bits = 8 * size or 64
    value &= (1 << bits) - 1
    return value - (1 << bits) if signed and value >> (bits - 1) else value


def _number(text: str, reader: Evaluator) -> int:
    digits = text.rstrip("uUlL")
    try:
        return int(digits, 8) if re.fullmatch(r"0[0-7]+", digits) else int(digits, 0)
    except ValueError:
        raise reader.wrong(f"not a number: {text!r}") from None


def _unquote(text: str) -> str:
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m.group(1), m.group(1)), text[1:-1])
