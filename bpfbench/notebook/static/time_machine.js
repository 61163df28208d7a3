// The verifier time machine: scrub through every processed instruction of a verification.
//
// The model holds one JSON document `trace` (see notebook/timeline.py): instructions, distinct values, and for each step
// only the columns that changed.  Everything happens here, so the widget works in JupyterLab, in exported notebooks and in
// a file opened offline.  `step` is synced with Python and is the deep link.

const KEY_EVERY = 512;          // steps between stored full states
const ROW = 21;                 // height of a listing row in pixels

async function inflate(base64) {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint32Array(await new Response(stream).arrayBuffer());
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

// ---------------------------------------------------------------------------------------------- the columns of a trace
class Timeline {
  static async read(doc) {
    const t = new Timeline();
    Object.assign(t, doc);
    [t.pcs, t.paths, t.counts, t.changedColumns, t.changedValues, t.happened] =
      await Promise.all([doc.pcs, doc.paths, doc.counts, doc.changed_columns, doc.changed_values, doc.events].map(inflate));
    t.index();
    return t;
  }

  index() {
    const width = this.columns.length;
    this.first = new Uint32Array(this.steps + 1);
    this.keys = [];
    const state = new Uint32Array(width);
    let at = 0;
    for (let s = 0; s < this.steps; s++) {
      this.first[s] = at;
      for (const end = at + this.counts[s]; at < end; at++) state[this.changedColumns[at]] = this.changedValues[at];
      if (s % KEY_EVERY === 0) this.keys.push(state.slice());
    }
    this.first[this.steps] = at;
    // Events lie in the order of their steps: [step, kind, number, number] each.
    this.firstEvent = new Uint32Array(this.steps + 1);
    for (let e = this.happened.length / 4 - 1; e >= 0; e--) this.firstEvent[this.happened[4 * e]] = e + 1;
    this.rowOf = new Map(this.insns.map((insn, row) => [insn.pc, row]));
  }

  value(number) {                                     // text, and for numbers range and bits
    const row = this.values[number];
    if (typeof row !== "string") return row;
    if (!/^-?\d+$/.test(row)) return { text: row };
    const unsigned = String(BigInt.asUintN(64, BigInt(row)));
    return { text: row, lo: unsigned, hi: unsigned, value: unsigned, mask: "0" };
  }

  eventsAt(step) {                                      // [kind, number, number] of everything that happened at a step
    const found = [];
    const first = this.firstEvent[step] - 1;
    for (let e = first; first >= 0 && 4 * e < this.happened.length && this.happened[4 * e] === step; e++)
      found.push([this.kinds[this.happened[4 * e + 1]], this.happened[4 * e + 2], this.happened[4 * e + 3]]);
    return found;
  }

  say([kind, a, b]) {                                 // an event as a sentence
    switch (kind) {
      case "fork": return `A branch to insn ${a} is kept for later`;
      case "resume": return `Path ${a + 1} is taken up, coming from insn ${b}`;
      case "prune": return `Pruned: state ${a} covers this one`;
      case "keep": return `Checkpoint ${a}`;
      case "precise": return `${a < 16 ? `R${a}` : `fp-${8 * (a - 15)}`} of state ${b} must be known exactly`;
      case "reject": return `Rejected: ${this.message}`;
      case "loop": return "A loop closes here";
      default: return "The path ends";
    }
  }

  state(step) {                                       // values of all columns before the instruction of this step
    const key = Math.floor(step / KEY_EVERY);
    const state = this.keys[key].slice();
    for (let at = this.first[key * KEY_EVERY + 1]; at < this.first[step + 1]; at++)
      state[this.changedColumns[at]] = this.changedValues[at];
    return state;
  }

  changed(step) {
    return new Set(this.changedColumns.subarray(this.first[step], this.first[step + 1]));
  }

  search(step, direction, test) {
    for (let s = step + direction; s >= 0 && s < this.steps; s += direction) if (test(s)) return s;
    return -1;
  }

  lastWrite(column, step) {
    for (let s = step; s >= 0; s--)
      for (let at = this.first[s]; at < this.first[s + 1]; at++) if (this.changedColumns[at] === column) return s;
    return -1;
  }
}

// ------------------------------------------------------------------------------------------------------ small drawings
function numberLine(value) {
  if (value.lo === undefined) return "";
  const top = 64n, size = (x) => (x === 0n ? 0 : x.toString(2).length);
  const lo = BigInt(value.lo), hi = BigInt(value.hi);
  const x = (n) => (size(n) * 100) / Number(top);
  const left = x(lo), right = Math.max(x(hi), left + 2);
  return `<svg viewBox="0 0 100 8" width="110" height="9" role="img" aria-label="from ${lo} to ${hi}, logarithmic">` +
    `<rect x="0" y="3" width="100" height="2" fill="currentColor" opacity=".25"/>` +
    `<rect x="${left}" y="1" width="${right - left}" height="6" rx="1" fill="var(--c4)"/></svg>`;
}

function bits(value) {
  if (value.mask === undefined) return "";
  const mask = BigInt(value.mask), known = BigInt(value.value);
  let width = Math.max((mask | known).toString(2).length, 1);
  if (width > 24) return `${64 - [...mask.toString(2)].filter((b) => b === "1").length} of 64 bits known`;
  let out = "";
  for (let i = width - 1; i >= 0; i--) out += mask >> BigInt(i) & 1n ? "x" : String(known >> BigInt(i) & 1n);
  return out;
}

// ----------------------------------------------------------------------------------------------------------- the widget
async function render({ model, el }) {
  const t = await Timeline.read(JSON.parse(model.get("trace")));
  const root = make("div", { class: "bb tm", "data-lm-suppress-shortcuts": "true", tabindex: "0", role: "group",
    "aria-label": `verifier time machine of ${t.name}, ${t.steps} steps; press ? for keys` });
  el.append(root);

  let step = Math.min(Math.max(model.get("step") || 0, 0), t.steps - 1);
  let selected = 0;

  const say = make("p", { class: "tm-say", "aria-live": "polite" });
  const slider = make("input", { type: "range", min: "0", max: String(t.steps - 1), "aria-label": "step", class: "tm-slider",
    oninput: () => go(Number(slider.value)) });
  const readout = make("output", { class: "tm-readout" });
  const marks = make("canvas", { class: "tm-marks", width: "1000", height: "14", "aria-hidden": "true" });
  const buttons = make("div", { class: "tm-buttons", role: "toolbar", "aria-label": "moves" });
  const list = make("div", { class: "scroll tm-list", tabindex: "0", role: "region", "aria-label": "program" });
  const registers = make("div", { class: "scroll tm-regs", tabindex: "0", role: "region", "aria-label": "registers and stack" });
  const help = make("p", { class: "dim tm-help", hidden: "" });
  help.textContent = moves().map(([key, label]) => `${key} ${label}`).join(" · ");

  function moves() {
    const event = (kinds) => (direction) => t.search(step, direction, (s) => t.firstEvent[s] && t.eventsAt(s).some((e) => kinds.includes(e[0])));
    return [
      ["Home", "first step", () => 0], ["←", "back", () => step - 1, "ArrowLeft"], ["→", "on", () => step + 1, "ArrowRight"],
      ["End", "last step", () => t.steps - 1],
      ["n", "next visit of this instruction", () => t.search(step, 1, (s) => t.pcs[s] === t.pcs[step])],
      ["p", "previous visit", () => t.search(step, -1, (s) => t.pcs[s] === t.pcs[step])],
      ["b", "next branch", () => event(["fork", "resume"])(1)], ["x", "next prune", () => event(["prune"])(1)],
      ["m", "next precision mark", () => event(["precise"])(1)], ["w", "where the selected register was last written", () => wrote()],
    ];
  }
  function wrote() {
    const at = t.lastWrite(selected, step);
    return at > 0 ? t.search(at, -1, () => true) : at;
  }

  for (const [key, label, to] of moves())
    buttons.append(make("button", { type: "button", title: `${label} (${key})`, "aria-label": label, onclick: () => go(to()) }, key));
  buttons.append(make("button", { type: "button", "aria-label": "keys", onclick: () => (help.hidden = !help.hidden) }, "?"));

  // the listing: only the rows in sight exist
  const tall = make("div", { class: "tm-tall" });
  tall.style.height = `${t.insns.length * ROW}px`;
  const rows = make("div", { class: "tm-rows" });
  list.append(tall);
  tall.append(rows);
  list.addEventListener("scroll", drawRows);
  function drawRows() {
    const from = Math.max(0, Math.floor(list.scrollTop / ROW) - 4);
    const upto = Math.min(t.insns.length, from + Math.ceil(list.clientHeight / ROW) + 8);
    rows.style.transform = `translateY(${from * ROW}px)`;
    const now = t.pcs[step];
    rows.replaceChildren(...t.insns.slice(from, upto).map((insn) => {
      const row = make("div", { class: "tm-row" + (insn.pc === now ? " now" : ""), "data-prog": t.name, "data-pc": insn.pc });
      if (insn.pc === now) row.setAttribute("aria-current", "step");
      row.append(make("span", { class: "tm-pc" }, String(insn.pc)), make("span", { class: "tm-text" }, insn.text),
        make("span", { class: "tm-src" }, insn.src || ""));
      row.addEventListener("click", () => {
        const there = t.search(step, 1, (s) => t.pcs[s] === insn.pc);
        go(there >= 0 ? there : t.search(step, -1, (s) => t.pcs[s] === insn.pc));
      });
      return row;
    }));
  }

  function drawRegisters() {
    const state = t.state(step), changed = t.changed(step);
    const body = t.columns.map((name, column) => {
      const value = t.value(state[column]);
      if (!value || !value.text) return null;
      const row = make("tr", { class: column === selected ? "now" : "", "aria-selected": String(column === selected) });
      const text = make("td", { class: changed.has(column) ? "changed" : "" }, (changed.has(column) ? "● " : "") + value.text);
      const line = make("td");
      line.innerHTML = numberLine(value);
      row.append(make("th", { scope: "row" }, name), text, line, make("td", { class: "dim" }, bits(value)));
      row.addEventListener("click", () => { selected = column; drawRegisters(); });
      return row;
    }).filter(Boolean);
    registers.replaceChildren(make("table", {}, make("tbody", {}, ...body)));
  }

  function go(to) {
    if (!(to >= 0 && to < t.steps)) { say.textContent = "There is no such step."; return; }
    step = to;
    slider.value = String(step);
    slider.setAttribute("aria-valuetext", `step ${step + 1} of ${t.steps}`);
    const pc = t.pcs[step], row = t.rowOf.get(pc);
    const y = row * ROW;
    if (y < list.scrollTop + ROW || y > list.scrollTop + list.clientHeight - 2 * ROW) list.scrollTop = Math.max(0, y - list.clientHeight / 3);
    readout.textContent = `step ${step + 1} / ${t.steps} · insn ${pc} · path ${t.paths[step] + 1}`;
    drawRows();
    drawRegisters();
    const state = t.state(step);
    const changed = [...t.changed(step)].map((c) => [c, t.value(state[c]).text]).filter(([, text]) => text)
      .map(([c, text]) => `${t.columns[c]} = ${text}`);
    const events = t.eventsAt(step).map((e) => t.say(e));
    say.textContent = `Before: ${t.insns[row].text}.` + (changed.length && changed.length < 4 ? ` New: ${changed.join("; ")}.` : "") +
      (events.length ? ` ${events.join(". ")}.` : "");
    model.set("step", step);
    model.save_changes();
  }

  function drawMarks() {
    const context = marks.getContext("2d");
    const colour = { fork: "#56B4E9", resume: "#56B4E9", prune: "#009E73", precise: "#CC79A7", reject: "#D55E00" };
    const drawn = new Set();                          // a mark per pixel and row is enough
    for (let e = 0; e < t.happened.length; e += 4) {
      const kind = t.kinds[t.happened[e + 1]], x = Math.floor((t.happened[e] * 998) / Math.max(t.steps - 1, 1));
      const y = kind === "prune" ? 7 : 0;
      if (!colour[kind] || (kind !== "reject" && drawn.has(2 * x + (y ? 1 : 0)))) continue;
      drawn.add(2 * x + (y ? 1 : 0));
      context.fillStyle = colour[kind];
      context.fillRect(x, y, 2, 7);
    }
  }

  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "?") help.hidden = !help.hidden;
    else if (event.key === "PageDown") go(Math.min(step + 50, t.steps - 1));
    else if (event.key === "PageUp") go(Math.max(step - 50, 0));
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const state = t.state(step);
      const way = event.key === "ArrowDown" ? 1 : -1;
      for (let c = selected + way; c >= 0 && c < t.columns.length; c += way)
        if (t.value(state[c]).text) { selected = c; break; }
      drawRegisters();
    } else {
      const move = moves().find(([key, , , name]) => (name || key) === event.key);
      if (!move) return;
      go(move[2]());
    }
    event.preventDefault();
    event.stopPropagation();
  });
  model.on("change:step", () => { if (model.get("step") !== step) go(model.get("step")); });

  root.append(make("div", { class: "tm-top" }, buttons, readout), make("div", { class: "tm-track" }, slider, marks), say, help,
    make("div", { class: "tm-panes" }, list, registers));
  drawMarks();
  requestAnimationFrame(() => go(step));
}

export default { render };
