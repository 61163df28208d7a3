"""Writes C (and C++) programs full of switches, without a library: small binaries that run anywhere.

`source(seed)` is one program of some fifty functions.  Functions named `pos_*` are meant to become dispatches, `neg_*`
are look-alikes that must not.  Every function is called over a range of arguments that leaves the cases on both sides;
the program prints a checksum per function and exits with 0.
"""

# ruff: noqa: E501  (lines of assembly and C)
from __future__ import annotations

import random

HEAD = """\
typedef unsigned char u8; typedef unsigned short u16; typedef unsigned int u32; typedef unsigned long u64; typedef long s64;
#ifdef __cplusplus
#define EXTERN extern "C"
#else
#define EXTERN
#endif
#define NOINLINE __attribute__((noinline))
static long sys3(long n, long a, long b, long c) {
  register long x8 __asm__("x8") = n; register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b; register long x2 __asm__("x2") = c;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
  return x0;
}
EXTERN void *memset(void *p, int c, u64 n) { volatile u8 *q = (volatile u8 *)p; while (n--) *q++ = (u8)c; return p; }
EXTERN void *memcpy(void *p, const void *s, u64 n) {
  volatile u8 *q = (volatile u8 *)p; const u8 *r = (const u8 *)s; while (n--) *q++ = *r++; return p; }
u32 state[64];
volatile u32 sink;
NOINLINE u32 mix(u32 a, u32 b) { return (a ^ b) * 2654435761u + (a >> 7); }
NOINLINE u32 step(u32 a) { state[a & 63] += a; return state[(a >> 3) & 63] ^ a; }
static void report(const char *name, u32 value) {
  char line[96]; int n = 0;
  while (*name) line[n++] = *name++;
  line[n++] = ' ';
  for (int k = 28; k >= 0; k -= 4) line[n++] = "0123456789abcdef"[value >> k & 15];
  line[n++] = '\\n';
  sys3(64, 1, (long)line, n);
}
"""

TAIL = """\
static int program(void) {
CALLS
  return 0;
}
#ifdef __PIE__
extern const s64 _DYNAMIC[] __attribute__((visibility("hidden")));
extern char __ehdr_start[] __attribute__((visibility("hidden")));
static void relocate(void) {
  u64 table = 0, size = 0, base = (u64)__ehdr_start;
  for (const s64 *d = _DYNAMIC; d[0]; d += 2) { if (d[0] == 7) table = d[1]; if (d[0] == 8) size = d[1]; }
  for (u64 k = 0; k < size; k += 24) { u64 *r = (u64 *)(base + table + k); if ((u32)r[1] == 1027) *(u64 *)(base + r[0]) = base + r[2]; }
}
#else
static void relocate(void) {}
#endif
EXTERN void start_c(void) { relocate(); sys3(93, program(), 0, 0); }
__asm__(".text\\n.globl _start\\n.type _start, %function\\n_start:\\n.cfi_startproc\\n.cfi_undefined x30\\n"
        "bti c\\nmov x29, #0\\nmov x30, #0\\nbl start_c\\nbrk #1\\n.cfi_endproc\\n.size _start, .-_start\\n");
"""


class Writer:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.functions: list[str] = []
        self.calls: list[str] = []

    def body(self, k: int, weight: int = 1) -> str:
        """Statements no compiler turns into a data lookup."""
        r = self.rng
        forms = [
            f"v = mix(v, {r.randrange(1, 999)}u);", f"v += state[{r.randrange(64)}] ^ {k}u;",
            f"state[{r.randrange(64)}] = v + {r.randrange(99)};", f"v = step(v + {k});", f"sink = v; v ^= sink << {r.randrange(1, 9)};",
            f"v = v * {r.randrange(3, 99)}u + (v >> {r.randrange(1, 9)});", f"if (v & {1 << r.randrange(6)}) v += step({k}); else v ^= {k}u;",
            f"for (u32 j = v & 3; j; j--) v += state[j] * {r.randrange(3, 19)}u;",
        ]
        return " ".join(r.choice(forms) for _ in range(weight))

    def cases(self, count: int, low: int = 0, weight: int = 1, holes: float = 0.0, falls: float = 0.1, join: float = 0.1) -> str:
        out, r = [], self.rng
        for k in range(low, low + count):
            inside = low < k < low + count - 1
            if inside and r.random() < holes:
                continue
            if inside and r.random() < join:
                out.append(f"  case {k}:")
                continue
            end = "/* falls */" if inside and r.random() < falls else "break;"
            out.append(f"  case {k}: {self.body(k, weight)} {end}")
        return "\n".join(out)

    def add(self, name: str, text: str, lo: int, hi: int, call: str | None = None) -> None:
        self.functions.append(text)
        use = call or f"{name}((u32)i, v)"
        self.calls.append(f'  {{ u32 v = 1; for (int i = {lo}; i < {hi}; i++) v = mix(v, {use}); report("{name}", v); }}')

    def dense(self, n: int, count: int, weight: int = 1) -> None:
        name = f"pos_dense{n}"
        default = self.rng.choice(["default: v ^= 77u; break;", "", "default: return v + 3;"])
        self.add(name, f"NOINLINE u32 {name}(u32 x, u32 v) {{\n  switch (x) {{\n{self.cases(count, weight=weight)}\n  {default}\n  }}\n"
                 f"  return v + {n}u;\n}}\n", -2, count + 3)

    def rebased(self, n: int, count: int, low: int, kind: str) -> None:
        name = f"pos_rebased{n}"
        self.add(name, f"NOINLINE u32 {name}({kind} x, u32 v) {{\n  switch (x) {{\n{self.cases(count, low, 1, 0.25)}\n"
                 f"  default: v -= 5u;\n  }}\n  return v;\n}}\n", low - 3, low + count + 3, f"{name}(({kind})i, v)")

    def loop(self, n: int, count: int) -> None:
        name = f"pos_machine{n}"
        self.add(name, f"NOINLINE u32 {name}(u32 x, u32 v) {{\n  u32 s = x & 31;\n  for (u32 turn = 0; turn < 9; turn++) {{\n"
                 f"    switch (s) {{\n{self.cases(count, weight=2)}\n    default: v += 9u; s = 1;\n    }}\n"
                 f"    s = (v >> 3) % {count + 2}u;\n  }}\n  return v;\n}}\n", 0, 40)

    def nested(self, n: int) -> None:
        name = f"pos_nested{n}"
        inner = self.cases(14, 0, 1, 0.1).replace("break;", "break;").replace("case", "  case")
        self.add(name, f"NOINLINE u32 {name}(u32 x, u32 v) {{\n  switch (x & 63) {{\n{self.cases(15)}\n"
                 f"  case 15: switch (v % 17u) {{\n{inner}\n    default: v ^= 1u; }} break;\n{self.cases(6, 16)}\n  }}\n"
                 f"  switch (x) {{\n{self.cases(13, 2)}\n  }}\n  return v;\n}}\n", 0, 70)

    def masked(self, n: int, bits: int) -> None:
        name = f"pos_masked{n}"
        count = 1 << bits
        self.add(name, f"NOINLINE u32 {name}(u32 x, u32 v) {{\n  switch (x & {count - 1}) {{\n"
                 f"{self.cases(count, join=0.05)}\n  }}\n  return v;\n}}\n", 0, 2 * count)

    def unreachable(self, n: int, count: int) -> None:
        name = f"pos_unreachable{n}"
        self.add(name, f"NOINLINE u32 {name}(u32 x, u32 v) {{\n  switch (x) {{\n{self.cases(count)}\n"
                 f"  default: __builtin_unreachable();\n  }}\n  return v * 3u;\n}}\n", 0, count)

    def narrow(self, n: int, kind: str, count: int) -> None:
        name = f"pos_narrow{n}"
        self.add(name, f"NOINLINE u32 {name}(const {kind} *p, u32 v) {{\n  switch (*p) {{\n{self.cases(count, 3)}\n  default: v++;\n  }}\n"
                 f"  return v;\n}}\n", 0, count + 8, f"({{ {kind} t = ({kind})i; {name}(&t, v); }})")

    def pressure(self, n: int) -> None:
        name = f"pos_pressure{n}"
        names = [f"a{k}" for k in range(18)]
        loads = " ".join(f"u32 {a} = state[{k}];" for k, a in enumerate(names))
        work = "\n".join(f"    case {k}: a{k} += a{(k + 5) % 18} ^ v; a{(k + 3) % 18} -= v; v += a{(k + 9) % 18}; break;" for k in range(18))
        sums = " + ".join(names)
        self.add(name, f"NOINLINE u32 {name}(u32 x, u32 v) {{\n  {loads}\n  for (u32 t = 0; t < 12; t++) {{\n    switch ((x + t * 5u) % 19u) {{\n"
                 f"{work}\n    default: v += step(v); }}\n    switch (v % 14u) {{\n{self.cases(14)}\n    }}\n  }}\n  return v + {sums};\n}}\n",
                 0, 30)

    def cold(self, n: int) -> None:
        name = f"pos_cold{n}"
        self.add(name, f"NOINLINE u32 {name}(u32 x, u32 v) {{\n  if (__builtin_expect(x > 40, 0)) goto late;\n  v = step(v) + mix(x, v);\n"
                 f"back:\n  return v;\nlate:\n  switch (x - 41) {{\n"
                 + "\n".join(f"  case {k}: v += {k * 7}u * state[{k}]; goto back;" for k in range(14))
                 + "\n  default: v = step(v); goto back;\n  }\n}\n", 30, 60)

    def early(self, n: int) -> None:
        name = f"pos_early{n}"
        self.add(name, f"NOINLINE u32 {name}(s64 x, u32 v) {{\n  if (x < 0) return 1;\n  if (x > 20) return mix(v, 2);\n  v = step(v);\n"
                 f"  switch (x) {{\n{self.cases(21, 0, 1, 0.1)}\n  }}\n  return v;\n}}\n", -4, 26, f"{name}((s64)i, v)")

    def twin(self, n: int) -> None:
        text = self.cases(12)
        for half in "ab":
            name = f"pos_twin{n}{half}"
            self.add(name, f"NOINLINE u32 {name}(u32 x, u32 v) {{\n  {'v += 3u;' if half == 'b' else ''}\n  switch (x) {{\n{text}\n  }}\n"
                     f"  return v;\n}}\n", -1, 15)

    def negatives(self, n: int) -> None:
        fs = "\n".join(f"NOINLINE u32 leaf{n}_{k}(u32 x) {{ return step(x + {k * 3}) * {k + 2}u; }}" for k in range(8))
        self.functions.append(fs + "\n")
        table = ", ".join(f"leaf{n}_{k}" for k in range(8))
        self.add(f"neg_pointers{n}", f"static u32 (*const pointers{n}[8])(u32) = {{ {table} }};\n"
                 f"NOINLINE u32 neg_pointers{n}(u32 x, u32 v) {{\n  if (x < 8) return pointers{n}[x](v);\n  return v;\n}}\n", -1, 9)
        self.add(f"neg_virtual{n}", f"struct object{n} {{ u64 pad; u32 (*call)(u32); }};\nstruct object{n} objects{n}[2] = "
                 f"{{ {{ 1, leaf{n}_1 }}, {{ 2, leaf{n}_2 }} }};\nNOINLINE u32 neg_virtual{n}(struct object{n} *o, u32 v) "
                 f"{{ v = step(v); return o->call(v); }}\n", 0, 4, f"neg_virtual{n}(&objects{n}[i & 1], v)")
        self.add(f"neg_argument{n}", f"NOINLINE u32 neg_argument{n}(u32 (*f)(u32), u32 v) {{ return f(v + 1); }}\n", 0, 4,
                 f"neg_argument{n}(pointers{n}[i & 7], v)")
        self.add(f"neg_either{n}", f"NOINLINE u32 neg_either{n}(u32 x, u32 v) {{\n  u32 (*f)(u32) = x & 1 ? leaf{n}_3 : objects{n}[0].call;\n"
                 f"  if (x > 9) f = pointers{n}[x & 7];\n  v = step(v);\n  return f(v);\n}}\n", 0, 14)
        values = ", ".join(str(self.rng.randrange(999)) for _ in range(16))
        cases = "\n".join(f"  case {k}: return {v.strip()};" for k, v in enumerate(values.split(",")))
        self.add(f"neg_lookup{n}", f"NOINLINE u32 neg_lookup{n}(u32 x, u32 v) {{\n  switch (x) {{\n{cases}\n  }}\n  return v;\n}}\n", -1, 18)
        labels = ", ".join(f"&&l{k}" for k in range(6))
        code = "\n".join(f"l{k}: {self.body(k)} if (++x > 24) return v; goto *labels[(x * {k + 3}u + v) % 6u];" for k in range(6))
        self.add(f"goto_threaded{n}", f"NOINLINE u32 goto_threaded{n}(u32 x, u32 v) {{\n  static void *const labels[] = {{ {labels} }};\n"
                 f"  x &= 7;\n  goto *labels[x % 6u];\n{code}\n}}\n", 0, 9)
        diffs = ", ".join(f"&&m{k} - &&m0" for k in range(6))
        code = "\n".join(f"m{k}: {self.body(k)} if (++x > 24) return v; goto *(&&m0 + offs[(x * {k + 3}u + v) % 6u]);" for k in range(6))
        self.add(f"goto_offsets{n}", f"#ifndef __cplusplus\nNOINLINE u32 goto_offsets{n}(u32 x, u32 v) {{\n  static const int offs[] = {{ {diffs} }};\n"
                 f"  x &= 7;\n  goto *(&&m0 + offs[x % 6u]);\n{code}\n}}\n#else\n#define goto_offsets{n}(x, v) (v)\n#endif\n", 0, 9)


def source(seed: int, wide: bool = False) -> str:
    """One program; `wide` adds a function of more than a hundred cases."""
    w = Writer(seed)
    r = w.rng
    for n in range(6):
        w.dense(n, r.choice((11, 12, 13, 17, 24, 37)), r.choice((1, 1, 2, 4)))
    w.dense(6, 61, 6)
    w.dense(7, 16, 12)
    if wide:
        w.dense(8, 180, 16)
    for n, (low, kind) in enumerate(((-7, "int"), (5, "u32"), (100, "u16"), (-120, "s64"), (1000, "u64"))):
        w.rebased(n, r.choice((15, 22, 40)), low, kind)
    w.loop(0, 16)
    w.loop(1, 27)
    w.nested(0)
    w.nested(1)
    w.masked(0, 4)
    w.masked(1, 5)
    w.unreachable(0, 13)
    w.unreachable(1, 21)
    w.narrow(0, "u8", 18)
    w.narrow(1, "u16", 14)
    w.narrow(2, "signed char", 30)
    w.pressure(0)
    w.cold(0)
    w.cold(1)
    w.early(0)
    w.twin(0)
    w.negatives(0)
    w.negatives(1)
    return HEAD + "\n".join(w.functions) + TAIL.replace("CALLS", "\n".join(w.calls))
