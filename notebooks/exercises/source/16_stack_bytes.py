'''The verifier knows the stack byte by byte. A slot has eight bytes; each is

| letter | the byte |
|---|---|
| `?` | was never written |
| `m` | holds some data (*misc*) |
| `0` | is zero |
| `r` | belongs to a saved register |

A slot is written as eight letters from its lowest address up: `rrrrrrrr` is a register saved whole, `rrrr????` the low half of
a number. The log shows the same letters.

Write `store(slot, at, size, zero)`: what becomes of a slot when `size` bytes of *data* (not a register that is saved) are
stored from byte `at` on; `zero` says whether the data are known to be zero. Return the eight letters.

<details><summary>Hint</summary>Half a pointer is no pointer. What are the bytes of a saved register after one of them was
overwritten?</details>
'''

def store(slot, at, size, zero):
    ### BEGIN SOLUTION
    if slot[0] == "r":
        slot = "".join("?" if letter == "?" else "m" for letter in slot)
    return slot[:at] + ("0" if zero else "m") * size + slot[at + size:]
    ### END SOLUTION
