'''A test of the kernel's verifier is a program with four fields that say what is expected. They are for two kinds of
processes, and may be empty:

| field | what |
|---|---|
| `result` | `"accept"` or `"reject"` |
| `errstr` | pieces of the message, a list |
| `result_unpriv` | the verdict for an unprivileged process; `""` if the table does not say |
| `errstr_unpriv` | pieces of its message; `[]` if the table does not say |

What is empty for unprivileged processes is taken from root's field, each of the two by itself.

A test has passed if the verdict is the expected one, and, if that is a refusal, the messages contain all the pieces, each
behind the end of the one before. A piece may be in any of the lines. Who is accepted need not say anything.

Write `passed(test, answer, unprivileged)`: `test` is a dict with these fields, `answer` one with the `verdict` and the
list of `messages`, the lines that were said. Return `True` or `False`.

With your function, tables of tests are compared with what the verifier says.

<details><summary>Hint</summary><code>text.find(piece, at)</code> looks for a piece from a position on; −1 says that it is
not there. How far on has the next one to be looked for?</details>
'''

def passed(test, answer, unprivileged):
    ### BEGIN SOLUTION
    result = unprivileged and test["result_unpriv"] or test["result"]
    pieces = unprivileged and test["errstr_unpriv"] or test["errstr"]
    if answer["verdict"] != result:
        return False
    if result == "accept":
        return True
    text, at = "\n".join(answer["messages"]), 0
    for piece in pieces:
        at = text.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return True
    ### END SOLUTION
