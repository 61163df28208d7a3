"""museum: published verifier and code generator bugs, each with a program that shows it."""

from __future__ import annotations

import argparse
import json
from typing import Any


def add(commands: Any) -> None:
    museum = commands.add_parser("museum", help="published verifier and JIT bugs: list them, or show one at work")
    museum.add_argument("name", nargs="?", default="", help='a piece, e.g. "CVE-2020-8835"; without one, the list')
    museum.add_argument("--all", action="store_true", help="show every piece")
    museum.add_argument("--json", action="store_true")
    museum.set_defaults(run=show)


def show(args: argparse.Namespace) -> int:
    from bpfbench import museum

    if args.name or args.all:
        shown = list(museum.PIECES) if args.all else [museum.piece(args.name)]
        if args.json:
            for piece in shown:
                print(json.dumps(piece.to_json()))
        else:
            print("\n\n".join(piece.show() for piece in shown))
        return 0
    for piece in museum.PIECES:
        if args.json:
            print(json.dumps({"name": piece.name, "kind": piece.kind, "title": piece.title, "commit": piece.commit,
                              "kernels": piece.kernels}))
        else:
            print(f"{piece.name:16s} {piece.kind:9s} {piece.title}")
    return 0
