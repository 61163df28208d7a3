'''A BPF program that is linked dynamically calls functions that it does not have. Each of its objects may name the libraries
that it **needs**, with a version; loaded are some libraries, each with its own version and the functions that it
**exports**.

* A library is good enough if its *major* number is the wanted one, and its *minor* number the wanted one or a later one.
* Every library that is needed has to be there, and good enough, also those that do not have the function. Take them in
  the order in which they are needed: the first that fails decides.
* Then the function is looked for in the needed libraries alone, in the same order; the first that exports it provides it.
* Who names no library gets the function from the first that was loaded with it.

Write `provider(symbol, needs, libraries)`. `symbol` is the function's name; `needs` a list of
`(name, (major, minor))`; `libraries` a list of dicts with `name`, `version` (also a pair) and `exports` (a list of
names), in the order of loading. Return the library's name, or

| text | when |
|---|---|
| `"missing"` | a needed library is not loaded |
| `"wrong version"` | it is loaded, and not good enough |
| `"undefined"` | nobody who was asked exports the function |

The dynamic linker then loads, binds and runs programs with your rule.

<details><summary>Hint</summary>A dict from name to library makes it short: one loop over <code>needs</code> for what has to
be there, one over the libraries that are searched.</details>
'''

def provider(symbol, needs, libraries):
    ### BEGIN SOLUTION
    loaded = {library["name"]: library for library in libraries}
    for name, (major, minor) in needs:
        if name not in loaded:
            return "missing"
        has = loaded[name]["version"]
        if has[0] != major or has[1] < minor:
            return "wrong version"
    for name in [name for name, _ in needs] or loaded:
        if symbol in loaded[name]["exports"]:
            return name
    return "undefined"
    ### END SOLUTION
