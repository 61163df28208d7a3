'''The NFP keeps its general registers in two *banks*, A and B, and an instruction can read one register of each at
once. So it has two operand fields of ten bits, A and B, and a *swap* bit: if it is set, the left operand is read
through field B and the right one through field A.

| operand | in a field |
|---|---|
| `gprA_7`, `gprB_7` | the number; the bank follows from the field |
| `0x1f` (a constant up to 255) | `0x300` plus the number |
| `$xfer_3` (a transfer register) | `0x180` plus the number |
| `--` (nothing) | 0 |

Write `operands(left, right)` for `alu[dst, left, op, right]`, the operands as texts: `(field A, field B, swap)`.

* If the left operand is in bank B, or the right one in bank A, they are swapped; else not.
* Two operands of the same kind (both in bank A, both constants, …) cannot be read at once: return the text `"refused"`.
  That does not hold for two times nothing.

The code for the card is then assembled with your function.

<details><summary>Hint</summary>Swapped means: the right operand's number is in field A, the left operand's in field
B.</details>
'''

def operands(left, right):
    ### BEGIN SOLUTION
    def kind(text):
        return "constant" if text[0].isdigit() else text[:4]

    def field(text):
        if kind(text) == "constant":
            return 0x300 | int(text, 0)
        if text == "--":
            return 0
        return int(text.split("_")[1]) | (0x180 if text[0] == "$" else 0)

    if kind(left) == kind(right) != "--":
        return "refused"
    if kind(left) == "gprB" or kind(right) == "gprA":
        return field(right), field(left), 1
    return field(left), field(right), 0
    ### END SOLUTION
