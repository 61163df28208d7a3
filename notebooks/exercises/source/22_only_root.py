'''A program of an unprivileged user must not learn a kernel address, not even a bit of it: whoever knows where things lie needs
only one more bug. Root may know, so the same program is accepted for root.

For each rule below, write a socket filter (text, as assembly) that Linux 6.18 **accepts for root**, and **refuses for an
unprivileged user by just this rule**. There has to be a way through the program that leaks nothing: some path from the start to
an `exit` that does not come by the refused instruction.

| rule | what an unprivileged program may not do |
|---|---|
| `return-pointer` | return an address |
| `pointer-compare` | compare addresses |
| `pointer-partial-copy` | take the low half of an address |
| `helper-leak` | hand an address to a helper that stores it |
| `spill-corrupt` | overwrite a part of an address saved on the stack |

Write `leak(rule)`, which returns the text. `r1` is the context; `r2 = *(u32 *)(r1 +0)` loads the packet's length, a number nobody
knows beforehand. A map is declared with `.map m hash 8 8 1` and named with `r1 = map[m]`; `call map_update_elem` takes the map, a
pointer to the key, a pointer to the value, and flags.

<details><summary>Hint 1</summary>Branch on the packet's length, and do on one side what must not be done.</details>
<details><summary>Hint 2</summary>Flags are a number. What if an address is passed for them?</details>
'''

def leak(rule):
    ### BEGIN SOLUTION
    start = "r2 = *(u32 *)(r1 +0)\nr0 = 0\nif r2 > 100 goto bad\nexit\nbad: "
    update = ("*(u64 *)(r10 -8) = 0\nr2 = r10\nr2 += -8\nr3 = r2\nr4 = r10\nr1 = map[m]\ncall map_update_elem\nr0 = 0\nexit")
    return {
        "return-pointer": start + "r0 = r10\nexit",
        "pointer-compare": start + "r3 = r10\nif r3 == r1 goto +0\nexit",
        "pointer-partial-copy": start + "w0 = w10\nexit",
        "helper-leak": ".map m hash 8 8 1\n" + start + update,
        "spill-corrupt": start + "*(u64 *)(r10 -8) = r1\n*(u32 *)(r10 -8) = 0\nexit",
    }[rule]
    ### END SOLUTION
