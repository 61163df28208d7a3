"""The verifier: the Linux path walk with every check, profiled by kernel (slides 17-34).

`verify(program)` is the entry; `Verification` what it returns.
"""
