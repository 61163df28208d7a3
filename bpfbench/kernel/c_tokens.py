"""Tokens of C and macro expansion: the half of a preprocessor that reading tables needs.

`Preprocessor.read` carries out `#define`, `#undef` and `#if`, and expands macros with arguments, `#` and `##`; includes
are not followed.  What a condition's names are worth, `evaluate` decides, which a subclass supplies.

    #define F(field, ...)  LOAD(offsetof(struct s, field)), ##__VA_ARGS__
    F(len)                 ->   LOAD ( offsetof ( struct s , len ) )

Reference: C11 6.4 (lexical elements), 6.10.3 (macro replacement).
"""

from __future__ import annotations

import re
from typing import Final, final

from bpfbench.errors import KernelError, Where

_TOKEN: Final = re.compile(
    r'(?P<space>[ \t\f\v]+|\\\n|//[^\n]*|/\*.*?\*/)|(?P<newline>\n)|(?P<id>[A-Za-z_]\w*)'
    r"|(?P<num>\.?\d(?:[\w.])*)|(?P<str>\"(?:\\.|[^\"\\\n])*\")|(?P<char>'(?:\\.|[^'\\\n])+')"
    r"|(?P<op>##|\.\.\.|<<|>>|<=|>=|==|!=|&&|\|\||->|[-+*/%&|^~!<>=?:,.;(){}\[\]#@$`\\])", re.DOTALL)
_LIMIT: Final = 1_000_000           # tokens of one expansion; the longest file of tables has a tenth


@final
class Token:
    """One token: `kind` (id num str char op), `text`, `line`, and the macros it must not be expanded by again."""

    __slots__ = ("kind", "text", "line", "hidden")

    def __init__(self, kind: str, text: str, line: int, hidden: frozenset[str] = frozenset()) -> None:
        self.kind = kind
        self.text = text
        self.line = line
        self.hidden = hidden

    def __repr__(self) -> str:
        return f"Token({self.text!r}, line {self.line})"


def tokens_of(text: str, file: str = "") -> list[list[Token]]:
    """The tokens of a source text, one list per logical line; raises KernelError at a character that is no C."""
    lines: list[list[Token]] = [[]]
    at, line = 0, 1
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise KernelError(f"unexpected character {text[at]!r}", Where(file, line))
        kind, word = match.lastgroup or "", match.group()
        if kind == "newline":
            lines.append([])
        elif kind != "space":
            lines[-1].append(Token(kind, word, line))
        line += word.count("\n")
        at = match.end()
    return lines


@final
class Macro:
    """A macro: `params` is None for one without parentheses."""

    __slots__ = ("params", "body")

    def __init__(self, params: list[str] | None, body: list[Token]) -> None:
        self.params = params
        self.body = body


class Preprocessor:
    """Macros by name; `read` turns a text into expanded tokens."""

    def __init__(self) -> None:
        self.macros: dict[str, Macro] = {}

    def evaluate(self, tokens: list[Token], file: str) -> bool:
        """Whether the expression of an `#if` is true."""
        raise NotImplementedError

    def read(self, text: str, file: str = "") -> list[Token]:
        """Preprocess: directives are carried out, macros expanded.  Includes are not followed."""
        out: list[Token] = []
        taken: list[list[bool]] = []                       # per open #if: [this branch, some branch so far, parent]
        pending: list[Token] = []
        for line in tokens_of(text, file):
            if line and line[0].text == "#" and len(line) > 1:
                if pending:
                    out += self.expand(pending)
                    pending = []
                self._directive(line[1:], taken, file)
            elif all(state[0] for state in taken):
                pending += line
        return out + self.expand(pending)

    def _directive(self, line: list[Token], taken: list[list[bool]], file: str) -> None:
        word, rest = line[0].text, line[1:]
        live = all(state[0] for state in taken)
        if word in ("if", "ifdef", "ifndef"):
            yes = live and self._condition(word, rest, file)
            taken.append([yes, yes or not live])
        elif word in ("else", "elif") and taken:
            state = taken[-1]
            state[0] = not state[1] and (word == "else" or self._condition("if", rest, file))
            state[1] = state[1] or state[0]
        elif word == "endif" and taken:
            taken.pop()
        elif live and word == "define" and rest:
            self._define(rest)
        elif live and word == "undef" and rest:
            self.macros.pop(rest[0].text, None)

    def _condition(self, word: str, rest: list[Token], file: str) -> bool:
        if word != "if":
            return bool(rest) and (rest[0].text in self.macros) == (word == "ifdef")
        plain: list[Token] = []
        skip = 0
        for i, token in enumerate(rest):
            if skip:
                skip -= 1
            elif token.text == "defined":
                named = rest[i + 2] if i + 1 < len(rest) and rest[i + 1].text == "(" else rest[i + 1]
                skip = 3 if rest[i + 1].text == "(" else 1
                plain.append(Token("num", str(int(named.text in self.macros)), token.line))
            else:
                plain.append(token)
        return self.evaluate(self.expand(plain), file)

    def _define(self, rest: list[Token]) -> None:
        name, body = rest[0], rest[1:]
        params: list[str] | None = None
        # A macro has parameters when the parenthesis touches its name; tokens carry no columns, so look at the shape.
        if body and body[0].text == "(":
            close = next((i for i, t in enumerate(body) if t.text == ")"), 0)
            inner = [t for t in body[1:close] if t.text != ","]
            if all(t.kind == "id" or t.text == "..." for t in inner) and close and len(body) > close + 1:
                params = ["__VA_ARGS__" if t.text == "..." else t.text for t in inner]
                body = body[close + 1:]
        self.macros[name.text] = Macro(params, body)

    def expand(self, tokens: list[Token]) -> list[Token]:
        """Replace macros until none is left (a macro is not expanded inside itself)."""
        out: list[Token] = []
        work = tokens[::-1]
        steps = 0
        while work:
            token = work.pop()
            steps += 1
            if steps > _LIMIT:
                raise KernelError("macros expand to more than a table can need", Where("", token.line))
            macro = self.macros.get(token.text) if token.kind == "id" else None
            if macro is None or token.text in token.hidden:
                out.append(token)
                continue
            arguments: list[list[Token]] = []
            if macro.params is not None:
                if not work or work[-1].text != "(":
                    out.append(token)
                    continue
                arguments = _arguments(work)
            body = self._substitute(macro, arguments)
            hidden = token.hidden | {token.text}
            work += [Token(t.kind, t.text, token.line, t.hidden | hidden) for t in reversed(body)]
        return out

    def _substitute(self, macro: Macro, arguments: list[list[Token]]) -> list[Token]:
        if macro.params is None:
            return macro.body
        given: dict[str, list[Token]] = {}
        for i, name in enumerate(macro.params):
            if name == "__VA_ARGS__":
                rest = arguments[i:]
                given[name] = [t for j, a in enumerate(rest) for t in ([Token("op", ",", 0)] if j else []) + a]
            else:
                given[name] = arguments[i] if i < len(arguments) else []
        out: list[Token] = []
        body = macro.body
        i = 0
        while i < len(body):
            token = body[i]
            paste = i + 1 < len(body) and body[i + 1].text == "##"
            if token.text == "#" and i + 1 < len(body) and body[i + 1].text in given:
                text = " ".join(t.text for t in given[body[i + 1].text]).replace("\\", "\\\\").replace('"', '\\"')
                out.append(Token("str", f'"{text}"', token.line))
                i += 2
            elif token.text == "##" and out and i + 1 < len(body):
                right = given.get(body[i + 1].text, [body[i + 1]])
                if right:
                    joined = out.pop().text + right[0].text
                    out += [Token("id" if joined[0].isalpha() or joined[0] == "_" else "num", joined, token.line)]
                    out += right[1:]
                i += 2
            elif token.text in given:
                out += given[token.text] if paste else self.expand(given[token.text])
                i += 1
            else:
                out.append(token)
                i += 1
        return out


def _arguments(work: list[Token]) -> list[list[Token]]:
    """Take a parenthesised argument list off the (reversed) work list."""
    work.pop()
    depth, arguments = 0, [[]]  # type: ignore[var-annotated]
    while work:
        token = work.pop()
        if token.text in ("(", "{", "["):
            depth += 1
        elif token.text in (")", "}", "]"):
            if depth == 0:
                break
            depth -= 1
        if token.text == "," and depth == 0:
            arguments.append([])
        else:
            arguments[-1].append(token)
    return [] if arguments == [[]] else arguments
