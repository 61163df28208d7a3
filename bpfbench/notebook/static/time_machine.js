// The verifier time machine: scrub through every processed instruction of a verification.
//
// The model holds one JSON document `trace` (see notebook/timeline.py): the program, for each step its instruction, path and
// depth, and chunks of what changed.  A chunk that is not there yet is asked for ({want: number}) and comes as a message
// {chunk, ...}; a page without a kernel has them all.  Everything else happens here, so the widget works in JupyterLab, in
// exported notebooks and in a file opened offline.  `step` is synced with Python and is the deep link.

const KEY_EVERY = 256;          // steps between stored full states of a chunk
const ROW = 21;                 // height of a listing row in pixels
const FIELDS = 10;              // of a scalar: v m umin umax smin smax u32min u32max s32min s32max
const NONE = 0xffffffff;

async function inflate(base64, Kind = Uint32Array) {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Kind(await new Response(stream).arrayBuffer());
}

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

// ------------------------------------------------------------------------------- numbers, in the words of the kernel's log
const U64 = (1n << 64n) - 1n;
const signed = (n) => (n >= -32768n && n <= 32767n ? String(n) : `0x${BigInt.asUintN(64, n).toString(16)}`);
const unsigned = (n) => (n <= 0xffffn ? String(n) : `0x${n.toString(16)}`);

export function ranges([v, m, umin, umax, smin, smax, u32min, u32max, s32min, s32max]) {
  const s = (n) => BigInt.asIntN(64, n);
  const half = (n) => (s(n) >= -32768n && s(n) <= 32767n ? s(n) : BigInt.asUintN(32, n));
  const rows = [
    ["smin", s(smin), s(smin) === -(1n << 63n)], ["smax", s(smax), s(smax) === (1n << 63n) - 1n],
    ["umin", umin, umin === 0n], ["umax", umax, umax === U64],
    ["smin32", half(s32min), s(s32min) === -(1n << 31n)], ["smax32", half(s32max), s(s32max) === (1n << 31n) - 1n],
    ["umin32", u32min, u32min === 0n], ["umax32", u32max, u32max === 0xffffffffn]];
  const done = rows.map((row) => row[2]), out = [];
  const negative = (name, n) => name[0] === "s" && s(BigInt.asUintN(64, n)) < 0n;
  rows.forEach(([name, value], i) => {
    if (done[i]) return;
    let text = `${name}=`;
    for (let j = i + 2; j < 8; j += 2) {
      const [other, same] = rows[j];
      if (done[j] || BigInt.asUintN(64, same) !== BigInt.asUintN(64, value)) continue;
      if (negative(name, value) !== negative(other, same)) continue;
      done[j] = true;
      text += `${other}=`;
    }
    out.push(text + (name[0] === "s" ? signed(s(BigInt.asUintN(64, value))) : unsigned(BigInt.asUintN(64, value))));
  });
  if (m !== U64) out.push(`var_off=(0x${v.toString(16)}; 0x${m.toString(16)})`);
  return out.join(",");
}

// -------------------------------------------------------------------------------------------------- a chunk of the steps
export class Chunk {
  static async read(doc, width) {
    const c = new Chunk();
    Object.assign(c, { first: doc.first, heads: doc.heads, width });
    [c.counts, c.columns, c.values, c.head, c.id, c.scalar] =
      await Promise.all([doc.counts, doc.columns, doc.values, doc.head, doc.id, doc.scalar].map((x) => inflate(x)));
    c.scalars = await inflate(doc.scalars, BigUint64Array);
    c.begin(doc.key);
    return c;
  }

  begin(key) {                                        // where the changes of each step lie, and a state now and then
    const steps = this.counts.length, state = new Uint32Array(this.width);
    state.set(key.slice(0, this.width));
    this.from = new Uint32Array(steps + 1);
    this.keys = [];
    let at = 0;
    for (let s = 0; s < steps; s++) {
      this.from[s] = at;
      for (const end = at + this.counts[s]; at < end; at++) state[this.columns[at]] = this.values[at];
      if (s % KEY_EVERY === 0) this.keys.push(state.slice());
    }
    this.from[steps] = at;
    this.known = new Map();
  }

  state(step) {                                       // numbers of the values before the instruction of this step
    const s = step - this.first, key = Math.floor(s / KEY_EVERY), state = this.keys[key].slice();
    for (let at = this.from[key * KEY_EVERY + 1]; at < this.from[s + 1]; at++) state[this.columns[at]] = this.values[at];
    return state;
  }

  changed(step) {                                     // columns that changed on the way to this step
    const s = step - this.first;
    return this.columns.subarray(this.from[s], this.from[s + 1]);
  }

  value(number) {                                     // {text, and for numbers the scalar}
    let value = this.known.get(number);
    if (!value) {
      value = this.describe(this.head[number] === undefined ? "" : this.heads[this.head[number]], this.id[number], this.scalar[number]);
      if (this.known.size > 4000) this.known.clear();
      this.known.set(number, value);
    }
    return value;
  }

  describe(head, id, scalar) {
    if (!scalar) return { text: head.replace("\x01", id) };
    const count = this.scalars.length / FIELDS;
    const numbers = Array.from({ length: FIELDS }, (_, f) => this.scalars[f * count + scalar]);
    if (numbers[1] === 0n) return { text: head + String(BigInt.asIntN(64, numbers[0])), numbers };
    const said = ranges(numbers), open = head.replace("\x01", id).replace(/\)$/, "");
    return { text: open + (said && !open.endsWith("(") ? "," : "") + said + ")", numbers };
  }
}

// ---------------------------------------------------------------------------------------------------------- a whole trace
export class Timeline {
  static async read(doc) {
    const t = new Timeline();
    Object.assign(t, doc);
    [t.pcs, t.paths, t.depths, t.evAfter, t.evKind, t.evA, t.evB] =
      await Promise.all([doc.pcs, doc.paths, doc.depths, ...doc.events].map((x) => inflate(x)));
    t.loaded = new Map();
    t.waiting = new Map();
    t.documents = doc.chunks || [];
    t.want = () => {};
    t.index();
    return t;
  }

  index() {
    this.rowOf = new Map(this.insns.map((insn, row) => [insn.pc, row]));
    // Branches that wait: a stack of forks, shared by the moments at which it is the same (a chain of nodes).
    const fork = this.kinds.indexOf("fork"), resume = this.kinds.indexOf("resume");
    this.node = { step: [], target: [], next: [] };
    this.momentAfter = [];                            // after how many visits …
    this.momentTop = [];                              // … which node is on top
    this.begins = new Map([[this.paths[0], { step: 0, fork: -1 }]]);
    let top = -1;
    const used = new Set();
    for (let e = 0; e < this.evKind.length; e++) {
      if (this.evKind[e] === fork) {
        this.node.step.push(Math.max(this.evAfter[e] - 1, 0));
        this.node.target.push(this.evA[e]);
        this.node.next.push(top);
        top = this.node.step.length - 1;
      } else if (this.evKind[e] === resume) {
        while (top >= 0 && used.has(top)) top = this.node.next[top];
        let taken = top;
        while (taken >= 0 && (used.has(taken) || this.pcs[this.node.step[taken]] !== this.evB[e])) taken = this.node.next[taken];
        this.begins.set(this.evA[e], { step: this.evAfter[e], fork: taken >= 0 ? this.node.step[taken] : -1 });
        if (taken === top && top >= 0) top = this.node.next[top];
        else if (taken >= 0) used.add(taken);
      } else continue;
      this.momentAfter.push(this.evAfter[e]);
      this.momentTop.push(top);
    }
  }

  pending(step, most = 12) {                          // branches that wait at a step: [{step, target}], and how many more
    let low = 0, high = this.momentAfter.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.momentAfter[middle] <= step) low = middle + 1;
      else high = middle;
    }
    const found = [];
    let node = low ? this.momentTop[low - 1] : -1, more = 0;
    for (; node >= 0 && more < 1000; node = this.node.next[node])
      if (found.length < most) found.push({ step: this.node.step[node], target: this.node.target[node] });
      else more++;
    return [found, more];
  }

  firstEvent(after) {
    let low = 0, high = this.evAfter.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.evAfter[middle] < after) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  eventsAt(step) {                                    // [kind, number, number] of everything that happened at a step
    const found = [];
    for (let e = this.firstEvent(step ? step + 1 : 0); e < this.evKind.length && this.evAfter[e] <= step + 1; e++)
      found.push([this.kinds[this.evKind[e]], this.evA[e], this.evB[e]]);
    return found;
  }

  nextEvent(step, kinds, direction) {                 // the next step with an event of these kinds
    const wanted = new Set(kinds.map((kind) => this.kinds.indexOf(kind)));
    for (let e = direction > 0 ? this.firstEvent(step + 2) : this.firstEvent(step + 1) - 1; e >= 0 && e < this.evKind.length; e += direction)
      if (wanted.has(this.evKind[e])) {
        const at = Math.min(Math.max(this.evAfter[e] - 1, 0), this.steps - 1);
        if (at !== step) return at;
      }
    return -1;
  }

  say([kind, a, b]) {                                 // an event as a sentence
    switch (kind) {
      case "fork": return `The other branch, to insn ${a}, is kept for later`;
      case "resume": return `Then path ${a + 1} is taken up, coming from insn ${b}`;
      case "prune": return `Pruned: state ${a} covers this one`;
      case "keep": return `Checkpoint ${a}`;
      case "precise": return `${a < 16 ? `R${a}` : `fp-${8 * (a - 15)}`} of state ${b} must be known exactly`;
      case "reject": return `Rejected: ${this.message}`;
      case "loop": return "A loop closes here";
      default: return "The path ends";
    }
  }

  search(step, direction, test) {
    for (let s = step + direction; s >= 0 && s < this.steps; s += direction) if (test(s)) return s;
    return -1;
  }

  has(step) { return this.loaded.get(Math.floor(step / this.size)); }

  need(step) {                                        // the chunk of a step; asks for it if it has to
    const number = Math.floor(step / this.size);
    const there = this.loaded.get(number);
    if (there) return Promise.resolve(there);
    if (!this.waiting.has(number)) {
      let arrived;
      const promise = new Promise((done) => (arrived = done));
      this.waiting.set(number, { promise, arrived });
      if (this.documents[number]) this.arrive(number, this.documents[number]);
      else this.want(number);
    }
    return this.waiting.get(number).promise;
  }

  async arrive(number, doc) {
    const chunk = await Chunk.read(doc, this.columns.length);
    if (this.loaded.size > 24) this.loaded.delete(this.loaded.keys().next().value);
    this.loaded.set(number, chunk);
    this.documents[number] = this.chunks && this.chunks[number];
    this.waiting.get(number)?.arrived(chunk);
    this.waiting.delete(number);
  }

  frames(step) {                                      // instructions of the calls that are open, outermost first
    const calls = [];
    let s = step;
    for (let depth = this.depths[step]; depth > 0; ) {
      const path = this.begins.get(this.paths[s]) || { step: 0, fork: -1 };
      while (s > path.step && this.depths[s - 1] >= depth) s--;
      if (s > path.step) { calls.unshift(this.pcs[--s]); depth--; }
      else if (path.fork >= 0) { s = path.fork; if (this.depths[s] < depth) { calls.unshift(this.pcs[s]); depth--; } }
      else break;
    }
    return calls;
  }

  // The step whose instruction gave a column the value that it has at `step` on its path; -1: it began with it.
  async writer(column, step) {
    for (let s = step; ; ) {
      const path = this.begins.get(this.paths[s]) || { step: 0, fork: -1 };
      for (; s > path.step; s--) {
        const chunk = await this.need(s);
        if (!chunk.changed(s).includes(column)) continue;
        const returned = this.depths[s] < this.depths[s - 1] && column !== 0;
        if (!returned) return { step: s - 1, after: s };
        const depth = this.depths[s];                 // a return brings back what the caller had
        for (s--; s > path.step && this.depths[s] > depth; s--);
        s++;
      }
      if (path.fork < 0) return { step: -1, after: path.step };
      if ((await this.text(s, column)) !== (await this.text(path.fork, column))) return { step: path.fork, after: s };
      s = path.fork;
    }
  }

  async text(step, column) {
    const chunk = await this.need(step);
    return chunk.value(chunk.state(step)[column]).text;
  }

  // From where a value comes: the steps that made it, those that made what they read, and so on; last step first.
  async chain(column, step, most = 12) {
    const found = new Map(), queue = [[column, step]];
    while (queue.length && found.size < most) {
      const [c, at] = queue.shift();
      const made = await this.writer(c, at);
      const key = `${made.step} ${c}`;
      if (found.has(key)) continue;
      found.set(key, { step: made.step, column: c, text: await this.text(made.after, c) });
      if (made.step < 0) continue;
      const insn = this.insns[this.rowOf.get(this.pcs[made.step])];
      for (const read of insn.reads) if (read < this.columns.length && (await this.text(made.step, read))) queue.push([read, made.step]);
    }
    return [...found.values()].sort((a, b) => b.step - a.step);
  }
}

// ------------------------------------------------------------------------------------------------------ small drawings
// Where a number lies, on a logarithmic line: unsigned from 0, or signed around 0 where that says more.
function numberLine(numbers) {
  const size = (x) => (x <= 0n ? 0 : x.toString(2).length);
  const [, , umin, umax, smin, smax] = numbers.map((n, i) => (i > 3 ? BigInt.asIntN(64, n) : n));
  const about = smin < 0n && smax - smin < umax - umin;
  const x = about ? (n) => 50 + (n < 0n ? -1 : 1) * (size(n < 0n ? -n : n) * 50) / 63 : (n) => (size(n) * 100) / 64;
  const [low, high] = about ? [smin, smax] : [umin, umax];
  const left = Math.min(x(low), 98), right = Math.max(x(high), left + 2);
  return `<svg viewBox="0 0 100 8" width="104" height="9" role="img" aria-label="from ${low} to ${high}, logarithmic">` +
    `<rect x="0" y="3" width="100" height="2" fill="currentColor" opacity=".25"/>` +
    (about ? `<rect x="49.5" y="0" width="1" height="8" fill="currentColor" opacity=".5"/>` : "") +
    `<rect x="${left}" y="1" width="${Math.min(right, 100) - left}" height="6" rx="1" fill="var(--c4)"/></svg>`;
}

function bits([known, mask]) {
  const width = Math.max((mask | known).toString(2).length, 1);
  if (width > 24) return `${64 - [...mask.toString(2)].filter((b) => b === "1").length} of 64 bits known`;
  let out = "";
  for (let i = width - 1; i >= 0; i--) out += (mask >> BigInt(i)) & 1n ? "x" : String((known >> BigInt(i)) & 1n);
  return out;
}

// ----------------------------------------------------------------------------------------------------------- the widget
export async function render({ model, el }) {
  const t = await Timeline.read(JSON.parse(model.get("trace")));
  t.want = (number) => model.send && model.send({ want: number });
  model.on("msg:custom", (message) => message.chunk !== undefined && t.arrive(message.chunk, message.changes));
  const root = make("div", { class: "bb tm", "data-lm-suppress-shortcuts": "true", tabindex: "0", role: "group",
    "aria-label": `verifier time machine of ${t.name}, ${t.steps} steps; press ? for keys` });
  el.append(root);

  let step = Math.min(Math.max(model.get("step") || 0, 0), t.steps - 1);
  let selected = 0, asked = 0;

  const say = make("p", { class: "tm-say", "aria-live": "polite" });
  const slider = make("input", { type: "range", min: "0", max: String(t.steps - 1), "aria-label": "step", class: "tm-slider",
    oninput: () => go(Number(slider.value)) });
  const readout = make("output", { class: "tm-readout" });
  const jump = make("input", { type: "number", min: "1", max: String(t.steps), "aria-label": "go to step", placeholder: "go to step",
    class: "tm-jump", onkeydown: (event) => { event.stopPropagation(); if (event.key === "Enter") { go(Number(jump.value) - 1); jump.value = ""; } } });
  const marks = make("canvas", { class: "tm-marks", width: "1000", height: "14", "aria-hidden": "true" });
  const buttons = make("div", { class: "tm-buttons", role: "toolbar", "aria-label": "moves" });
  const list = make("div", { class: "scroll tm-list", tabindex: "0", role: "region", "aria-label": "program" });
  const registers = make("div", { class: "scroll tm-regs", tabindex: "0", role: "region", "aria-label": "registers and stack" });
  const calls = make("p", { class: "tm-calls" }), waiting = make("p", { class: "tm-waiting" });
  const why = make("div", { class: "scroll tm-why", tabindex: "0", role: "region", "aria-label": "why the selected value is what it is" });
  const help = make("p", { class: "dim tm-help", hidden: "" });
  help.textContent = moves().map(([key, label]) => `${key} ${label}`).join(" · ") + " · ↑ ↓ select a register · y why it is what it is · PageUp PageDown 50 steps";

  function moves() {
    return [
      ["Home", "first step", () => 0], ["←", "back", () => step - 1, "ArrowLeft"], ["→", "on", () => step + 1, "ArrowRight"],
      ["End", "last step", () => t.steps - 1],
      ["n", "next visit of this instruction", () => t.search(step, 1, (s) => t.pcs[s] === t.pcs[step])],
      ["p", "previous visit", () => t.search(step, -1, (s) => t.pcs[s] === t.pcs[step])],
      ["b", "next branch", () => t.nextEvent(step, ["fork", "resume"], 1)], ["B", "previous branch", () => t.nextEvent(step, ["fork", "resume"], -1)],
      ["x", "next prune", () => t.nextEvent(step, ["prune"], 1)],
      ["m", "next precision mark", () => t.nextEvent(step, ["precise"], 1)],
      ["w", "where the selected register was last written", async () => (await t.writer(selected, step)).step],
    ];
  }

  for (const [key, label, to] of moves())
    buttons.append(make("button", { type: "button", title: `${label} (${key})`, "aria-label": label, onclick: () => move(to) }, key));
  buttons.append(make("button", { type: "button", title: "why the selected value is what it is (y)", "aria-label": "why", onclick: () => explain() }, "y"),
    make("button", { type: "button", "aria-label": "keys", title: "keys", onclick: () => (help.hidden = !help.hidden) }, "?"));

  function move(to) {
    const there = to();
    if (there instanceof Promise) there.then(go);
    else go(there);
  }

  // the listing: only the rows in sight exist
  const tall = make("div", { class: "tm-tall" });
  tall.style.height = `${t.insns.length * ROW}px`;
  const rows = make("div", { class: "tm-rows" });
  list.append(tall);
  tall.append(rows);
  list.addEventListener("scroll", drawRows);
  let shown = [0, 0], marked = null;
  function drawRows() {
    const from = Math.max(0, Math.floor(list.scrollTop / ROW) - 4);
    const upto = Math.min(t.insns.length, from + Math.ceil((list.clientHeight || 400) / ROW) + 8);
    if (from !== shown[0] || upto !== shown[1]) {
      shown = [from, upto];
      marked = null;
      rows.style.transform = `translateY(${from * ROW}px)`;
      rows.replaceChildren(...t.insns.slice(from, upto).map(listed));
    }
    const now = rows.children[t.rowOf.get(t.pcs[step]) - from] || null;
    if (now === marked) return;
    if (marked) { marked.classList.remove("now"); marked.removeAttribute("aria-current"); }
    if (now) { now.classList.add("now"); now.setAttribute("aria-current", "step"); }
    marked = now;
  }
  function listed(insn) {
    const row = make("div", { class: "tm-row", "data-prog": t.name, "data-pc": insn.pc },
      make("span", { class: "tm-pc" }, String(insn.pc)), make("span", { class: "tm-text" }, insn.text),
      make("span", { class: "tm-src", title: insn.src || "" }, insn.src ? `${insn.line ? `${insn.line}: ` : ""}${insn.src}` : ""));
    row.addEventListener("click", () => {
      const there = t.search(step, 1, (s) => t.pcs[s] === insn.pc);
      go(there >= 0 ? there : t.search(step, -1, (s) => t.pcs[s] === insn.pc));
    });
    return row;
  }

  // registers and slots: one row each, written again only when its value is another
  const lines = t.columns.map((name, column) => {
    const text = make("td"), line = make("td"), known = make("td", { class: "dim" });
    const row = make("tr", { hidden: "" }, make("th", { scope: "row" }, name), text, line, known);
    row.addEventListener("click", () => select(column));
    return { row, text, line, known, shown: null, changed: false };
  });
  registers.append(make("table", {}, make("tbody", {}, ...lines.map((l) => l.row))));
  function drawRegisters(chunk) {
    const state = chunk.state(step), changed = chunk.changed(step);
    lines.forEach((l, column) => {
      const value = chunk.value(state[column]), fresh = changed.includes(column);
      if (value !== l.shown || fresh !== l.changed) {
        l.row.hidden = !value.text;
        l.text.textContent = (fresh ? "● " : "") + value.text;
        l.text.className = fresh ? "changed" : "";
        if (value !== l.shown) {
          l.line.innerHTML = value.numbers ? numberLine(value.numbers) : "";
          l.known.textContent = value.numbers ? bits(value.numbers) : "";
        }
        [l.shown, l.changed] = [value, fresh];
      }
    });
    mark();
  }
  function mark() {
    lines.forEach((l, column) => {
      l.row.classList.toggle("now", column === selected);
      l.row.setAttribute("aria-selected", String(column === selected));
    });
  }
  function select(column) {
    selected = column;
    mark();
    explain();
  }

  // why the selected value is what it is: the steps it comes from, in a list to click
  async function explain() {
    const mine = ++asked, name = t.columns[selected];
    const links = await t.chain(selected, step);
    if (mine !== asked) return;
    const items = links.map((link) => make("li", {},
      make("button", { type: "button", class: "tm-link", onclick: () => go(Math.max(link.step, 0)) },
        link.step < 0 ? "at the beginning" : `step ${link.step + 1}, insn ${t.pcs[link.step]}`),
      ` ${link.step < 0 ? "" : t.insns[t.rowOf.get(t.pcs[link.step])].text} `, make("b", {}, `${t.columns[link.column]} = ${link.text || "nothing"}`)));
    why.replaceChildren(make("p", { class: "dim" }, `Why ${name} is what it is at step ${step + 1}, latest first:`), make("ol", {}, ...items));
  }

  function drawWaiting() {
    const open = t.frames(step);
    calls.textContent = open.length ? `In a function of depth ${t.depths[step]}, called at ${open.join(", ")}` : "In the main function";
    const [found, more] = t.pending(step);
    waiting.textContent = found.length ? `Waiting branches, next first: ${found.map((f) => `${t.pcs[f.step]} → ${f.target}`).join(", ")}${more ? ` and ${more} more` : ""}`
      : "No branch is waiting";
  }

  function go(to) {
    if (!(to >= 0 && to < t.steps)) { say.textContent = "There is no such step."; return; }
    step = Math.floor(to);
    slider.value = String(step);
    slider.setAttribute("aria-valuetext", `step ${step + 1} of ${t.steps}`);
    const pc = t.pcs[step], y = t.rowOf.get(pc) * ROW;
    if (y < top + ROW || y > top + height - 2 * ROW) list.scrollTop = top = Math.max(0, y - height / 3);
    readout.textContent = `step ${step + 1} / ${t.steps} · insn ${pc} · path ${t.paths[step] + 1}`;
    drawRows();
    drawWaiting();
    const chunk = t.has(step);
    if (chunk) draw(chunk);
    else {
      const wanted = step;
      say.textContent = `Before: ${t.insns[t.rowOf.get(pc)].text}. The states of this step are on their way …`;
      t.need(step).then((chunk) => step === wanted && draw(chunk));
    }
    if (model.get("step") !== step) {
      model.set("step", step);
      model.save_changes();
    }
  }

  function draw(chunk) {
    drawRegisters(chunk);
    const state = chunk.state(step);
    const changed = [...chunk.changed(step)].map((c) => [c, chunk.value(state[c]).text]).filter(([, text]) => text)
      .map(([c, text]) => `${t.columns[c]} = ${text}`);
    const events = t.eventsAt(step).map((e) => t.say(e));
    const few = events.length > 6 ? [...events.slice(0, 6), `and ${events.length - 6} more events`] : events;
    say.textContent = `Before: ${t.insns[t.rowOf.get(t.pcs[step])].text}.` +
      (changed.length && changed.length < 4 ? ` New: ${changed.join("; ")}.` : "") + (few.length ? ` ${few.join(". ")}.` : "");
    [step - t.size, step + t.size].forEach((s) => s >= 0 && s < t.steps && t.has(step) && t.need(s));   // the neighbours, before they are needed
  }

  let top = 0, height = 400;
  list.addEventListener("scroll", () => (top = list.scrollTop));
  new ResizeObserver(() => { height = list.clientHeight; drawRows(); }).observe(list);

  function drawMarks() {
    const context = marks.getContext("2d");
    const colour = { fork: "#56B4E9", resume: "#56B4E9", prune: "#009E73", precise: "#CC79A7", reject: "#D55E00" };
    const drawn = new Set();                          // a mark per pixel and row is enough
    for (let e = 0; e < t.evKind.length; e++) {
      const kind = t.kinds[t.evKind[e]], x = Math.floor((Math.max(t.evAfter[e] - 1, 0) * 998) / Math.max(t.steps - 1, 1));
      const y = kind === "prune" ? 7 : 0;
      if (!colour[kind] || (kind !== "reject" && drawn.has(2 * x + (y ? 1 : 0)))) continue;
      drawn.add(2 * x + (y ? 1 : 0));
      context.fillStyle = colour[kind];
      context.fillRect(x, y, 2, 7);
    }
  }

  // JupyterLab's shortcuts ask the focused element itself whether keys are its own.
  root.addEventListener("focusin", (event) => event.target.setAttribute("data-lm-suppress-shortcuts", "true"));
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target === jump) return;
    if (event.key === "?") help.hidden = !help.hidden;
    else if (event.key === "y") explain();
    else if (event.key === "PageDown") go(Math.min(step + 50, t.steps - 1));
    else if (event.key === "PageUp") go(Math.max(step - 50, 0));
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const way = event.key === "ArrowDown" ? 1 : -1;
      for (let c = selected + way; c >= 0 && c < lines.length; c += way) if (!lines[c].row.hidden) { select(c); break; }
    } else if ((event.key === "Enter" || event.key === " ") && event.target.tagName === "BUTTON") return;
    else {
      const found = moves().find(([key, , , name]) => (name || key) === event.key);
      if (!found) return;
      move(found[2]);
    }
    event.preventDefault();
    event.stopPropagation();
  });
  model.on("change:step", () => { if (model.get("step") !== step) go(model.get("step")); });

  root.append(make("div", { class: "tm-top" }, buttons, readout, jump), make("div", { class: "tm-track" }, slider, marks), say, help,
    make("div", { class: "tm-panes" }, list, registers), make("div", { class: "tm-panes tm-below" }, make("div", {}, calls, waiting), why));
  drawMarks();
  why.append(make("p", { class: "dim" }, "Select a register (↑ ↓ or click) to see where its value comes from."));
  await t.need(step);
  go(step);
}

export default { render };
