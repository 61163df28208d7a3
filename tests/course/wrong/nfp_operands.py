# wrong: whatever is on the left
def operands(left, right):
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
    if kind(left) == "gprB":
        return field(right), field(left), 1
    return field(left), field(right), 0


# wrong: a constant is marked by 0x300
def operands(left, right):
    def kind(text):
        return "constant" if text[0].isdigit() else text[:4]

    def field(text):
        if kind(text) == "constant":
            return int(text, 0)
        if text == "--":
            return 0
        return int(text.split("_")[1]) | (0x180 if text[0] == "$" else 0)

    if kind(left) == kind(right) != "--":
        return "refused"
    if kind(left) == "gprB" or kind(right) == "gprA":
        return field(right), field(left), 1
    return field(left), field(right), 0


# wrong: cannot be read at once
def operands(left, right):
    def kind(text):
        return "constant" if text[0].isdigit() else text[:4]

    def field(text):
        if kind(text) == "constant":
            return 0x300 | int(text, 0)
        if text == "--":
            return 0
        return int(text.split("_")[1]) | (0x180 if text[0] == "$" else 0)

    if kind(left) == "gprB" or kind(right) == "gprA":
        return field(right), field(left), 1
    return field(left), field(right), 0


# wrong: the swap bit tells
def operands(left, right):
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
        return field(right), field(left), 0
    return field(left), field(right), 0
