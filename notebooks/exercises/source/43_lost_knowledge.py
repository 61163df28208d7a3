'''The verifier keeps for each register which numbers it may hold, but (mostly) not how registers belong together. So it
can lose what every reader sees.

Your program stands behind a number of which the bits in `mask` are unknown and all others 0:

```
r2 = *(u32 *)(r1 +16)
r2 &= mask
r0 = r2
        <- your lines
exit
```

Write `lose(mask)`: the text of **at most two lines** after which r0 is the same number in every run, and the verifier
does not know it.

<details><summary>Hint</summary>r0 and r2 are equal. What is surely true of two equal numbers?</details>
'''

def lose(mask):
    ### BEGIN SOLUTION
    return "r0 -= r2"
    ### END SOLUTION
