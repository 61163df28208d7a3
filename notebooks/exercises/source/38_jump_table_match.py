'''A `switch` becomes an indirect branch over a table of small numbers. On AArch64 gcc and clang make it so:

```
gcc      cmp  w0, #5                            clang    cmp  w0, #5
         b.hi default                                    b.hi default
         adrp x1, table                                  adrp x1, table
         add  x1, x1, :lo12:table                        add  x1, x1, :lo12:table
         ldrb w1, [x1, w0, uxtw]                         adr  x2, anchor
         adr  x2, anchor                                 ldrb w3, [x1, x0]
         add  x1, x2, w1, sxtb #2                        add  x2, x2, x3, lsl #2
         br   x1                                         br   x2
```

`target = anchor + (entry << shift)`. Registers differ from switch to switch; other instructions may stand between
these; the number that is compared may be copied before (or after) the compare.

Write `match(code)`. `code` lists the instructions of a function up to an indirect branch, the last one. Each is a dict
with its address `at`, its `op`, and what the operation has; registers are numbers.

| `op` | what it does | |
|---|---|---|
| `cmp` | compares `rn` with `imm` | |
| `branch` | goes to address `to` if the condition `if` holds | `hi`: above, `hs`: above or equal |
| `adr`, `adrp` | `rd` = `address` (of `adrp`: of a page of 4096 bytes) | |
| `addi` | `rd` = `rn` + `imm` | |
| `add` | `rd` = `rn` + (`rm` extended, shifted left by `shift`) | `extend`: `sxtb`, `sxth` with sign; `lsl` without |
| `load` | `rd` = `size` bytes at `rn` plus index `rm` | `signed`: with sign |
| `mov` | `rd` = `rm` | |
| `br` | goes to `rn` | |
| `other` | something else; writes `rd`, if it has one | |

Return a dict with `table`, `size`, `signed`, `shift`, `anchor` and `count` (the number of entries), or `None` if the
branch is no such switch. Your function then recovers the tables of whole programs.

<details><summary>Hint 1</summary>Go backwards from the branch: which instruction was the last to write its register?
And the last to write what that one reads?</details>
<details><summary>Hint 2</summary>A switch over 0 to 5 has six entries. After <code>cmp w0, #6</code>, <code>b.hs</code>
says the same.</details>
'''

def last(code, end, register):
    """The number of the last instruction before `end` that writes the register, or None."""
    return next((i for i in reversed(range(end)) if code[i].get("rd") == register), None)


def match(code):
    ### BEGIN SOLUTION
    def define(end, register, op):
        found = last(code, end, register)
        return found if found is not None and code[found]["op"] == op else None

    add = define(len(code) - 1, code[-1]["rn"], "add")
    if add is None:
        return None
    adr, load = define(add, code[add]["rn"], "adr"), define(add, code[add]["rm"], "load")
    low = load and define(load, code[load]["rn"], "addi")
    page = low and define(low, code[low]["rn"], "adrp")
    if not adr or not page:
        return None
    index, end = code[load]["rm"], load
    while end is not None:
        start = last(code, end, index) or 0
        for i in range(start, load):
            test, jump = code[i], code[i + 1]
            if test["op"] == "cmp" and test["rn"] == index and jump["op"] == "branch":
                return {"table": code[page]["address"] + code[low]["imm"], "size": code[load]["size"],
                        "signed": code[load]["signed"] or code[add]["extend"] in ("sxtb", "sxth"),
                        "shift": code[add]["shift"], "anchor": code[adr]["address"],
                        "count": test["imm"] + (jump["if"] == "hi")}
        end = define(end, index, "mov")
        index = code[end]["rm"] if end is not None else index
    return None
    ### END SOLUTION
