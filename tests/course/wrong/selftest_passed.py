# wrong: expectations of their own
def passed(test, answer, unprivileged):
    if answer["verdict"] != test["result"]:
        return False
    text, at = "\n".join(answer["messages"]), 0
    for piece in test["errstr"] if test["result"] == "reject" else []:
        at = text.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return True


# wrong: behind the one before
def passed(test, answer, unprivileged):
    result = unprivileged and test["result_unpriv"] or test["result"]
    pieces = unprivileged and test["errstr_unpriv"] or test["errstr"]
    text = "\n".join(answer["messages"])
    return answer["verdict"] == result and (result == "accept" or all(piece in text for piece in pieces))


# wrong: look for the words
def passed(test, answer, unprivileged):
    return answer["verdict"] == (unprivileged and test["result_unpriv"] or test["result"])


# wrong: what it says for root holds
def passed(test, answer, unprivileged):
    result = test["result_unpriv"] if unprivileged else test["result"]
    pieces = test["errstr_unpriv"] if unprivileged else test["errstr"]
    if answer["verdict"] != result:
        return False
    text, at = "\n".join(answer["messages"]), 0
    for piece in pieces if result == "reject" else []:
        at = text.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return True


# wrong: need not say anything
def passed(test, answer, unprivileged):
    result = unprivileged and test["result_unpriv"] or test["result"]
    pieces = unprivileged and test["errstr_unpriv"] or test["errstr"]
    text, at = "\n".join(answer["messages"]), 0
    for piece in pieces:
        at = text.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return answer["verdict"] == result
