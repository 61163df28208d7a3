// What pages and notebook outputs add to plain tables: everything of one instruction lights up together, native code shows
// its encoding on demand, jumps have arrows.  It may be loaded many times; it works for what has been added since.
(window.bpfbenchLink ??= (() => {
  const of = (e) => e.target.closest && e.target.closest(".bb [data-pc]");
  const all = (el) => document.querySelectorAll(`.bb [data-prog="${CSS.escape(el.dataset.prog)}"][data-pc="${el.dataset.pc}"]`);
  let lit = null;
  function light(el) {
    const key = el && el.dataset.prog + "/" + el.dataset.pc;
    if (key === lit) return;
    document.querySelectorAll(".bb .hot").forEach((r) => r.classList.remove("hot"));
    lit = key;
    if (el) all(el).forEach((r) => r.classList.add("hot"));
  }
  function bring(el) {                                // the others into sight, within their own frames
    for (const other of all(el)) {
      const box = other.closest(".scroll");
      if (box && !box.contains(el)) box.scrollTop = other.offsetTop - box.clientHeight / 3;
    }
  }

  function encoding(native, insns) {
    const panel = native.querySelector(".fields");
    panel.replaceChildren(...insns.map((ni) => {
      const line = document.createElement("p"), text = ni.cloneNode(true);
      text.querySelectorAll(".nb, .a").forEach((x) => x.remove());
      const name = document.createElement("b");
      name.textContent = text.textContent.trim();
      const hex = ni.querySelector(".nb").textContent.trim();
      const bits = hex.split(" ").map((b) => parseInt(b, 16).toString(2).padStart(8, "0")).join(" ");
      line.append(name, ` at ${ni.querySelector(".a").textContent.trim()}: ${hex} = ${bits}`);
      if (ni.dataset.f) line.append(document.createElement("br"), ni.dataset.f);
      return line;
    }));
  }

  function arrows(native) {                           // in the margin of the listing, from a jump to where it goes
    const frame = native.querySelector(".scroll"), body = native.querySelector("table");
    native.querySelector("svg.arrows")?.remove();
    const jumps = [...body.querySelectorAll("tr[data-to]")].slice(0, 300);
    if (!jumps.length) return;
    const rows = new Map([...body.querySelectorAll("tr[data-pc]")].map((r) => [r.dataset.pc, r]));
    const lanes = [];
    const drawn = jumps.map((from) => [from, rows.get(from.dataset.to)]).filter(([, to]) => to).map(([from, to]) => {
      const y0 = from.offsetTop + 9, y1 = to.offsetTop + 9, low = Math.min(y0, y1), high = Math.max(y0, y1);
      let lane = lanes.findIndex((spans) => spans.every(([a, b]) => high < a || low > b));
      if (lane < 0) lane = lanes.push([]) - 1;
      lanes[lane].push([low, high]);
      const x = 40 - 5 * (lane % 7), back = y1 < y0;
      return `<path d="M46 ${y0} H${x} V${y1} H44" fill="none" stroke="${back ? "#D55E00" : "#0072B2"}" ${back ? 'stroke-dasharray="4 2"' : ""}/>` +
        `<path d="M47 ${y1} l-5 -3 v6 z" fill="${back ? "#D55E00" : "#0072B2"}"/>`;
    });
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("class", "arrows");
    svg.setAttribute("aria-hidden", "true");
    svg.setAttribute("width", "48");
    svg.setAttribute("height", String(body.offsetHeight));
    svg.innerHTML = drawn.join("");
    native.classList.add("arrowed");
    frame.append(svg);
  }

  function open(mark) {                               // what a mark of a drawing stands for, written out below it
    const found = mark.closest(".bb").querySelector(`#${CSS.escape(mark.dataset.opens)}`);
    if (!found) return;
    for (let e = found; e; e = e.parentElement) if (e.tagName === "DETAILS") e.open = true;
    const own = found.querySelector("details");
    if (own) own.open = true;
    found.scrollIntoView({ block: "nearest" });
    found.querySelector("summary")?.focus();
  }

  document.addEventListener("mouseover", (e) => light(of(e)));
  document.addEventListener("focusin", (e) => {
    // JupyterLab's shortcuts ask the focused element itself whether keys are its own.
    if (e.target.closest?.(".bb .native, .bb [data-opens]")) e.target.setAttribute("data-lm-suppress-shortcuts", "true");
    if (of(e)) light(of(e));
  });
  document.addEventListener("click", (e) => {
    const el = of(e), native = e.target.closest && e.target.closest(".bb .native");
    const mark = e.target.closest && e.target.closest(".bb [data-opens]");
    if (mark) open(mark);
    if (el) { light(el); bring(el); }
    if (native && el) {
      native.dataset.at = el.dataset.pc;
      const one = e.target.closest(".ni");
      encoding(native, one ? [one] : [...el.querySelectorAll(".ni")]);
    }
  });
  document.addEventListener("change", (e) => {
    const native = e.target.closest && e.target.closest(".bb .native");
    if (!native) return;
    if (e.target.classList.contains("bytes")) native.classList.toggle("with-bytes", e.target.checked);
    if (e.target.dataset.column)
      native.querySelectorAll("tr").forEach((r) => r.children[e.target.dataset.column] && (r.children[e.target.dataset.column].hidden = !e.target.checked));
    arrows(native);
  });
  document.addEventListener("keydown", (e) => {
    if (e.key === "Enter" && e.target.matches?.(".bb [data-opens]")) {
      open(e.target);
      e.preventDefault();
      e.stopPropagation();
      return;
    }
    const native = e.target.closest && e.target.closest(".bb .native");
    if (!native || e.ctrlKey || e.metaKey || e.altKey || !["j", "k", "e"].includes(e.key)) return;
    const rows = [...native.querySelectorAll("tr[data-pc]")], at = rows.findIndex((r) => r.dataset.pc === native.dataset.at);
    if (e.key === "e") { if (at >= 0) encoding(native, [...rows[at].querySelectorAll(".ni")]); }
    else {
      const row = rows[Math.min(Math.max(at + (e.key === "j" ? 1 : -1), 0), rows.length - 1)];
      light(row);
      native.dataset.at = row.dataset.pc;
      row.scrollIntoView({ block: "nearest" });
      bring(row);
    }
    e.preventDefault();
    e.stopPropagation();
  }, true);

  return () => {
    // A drawing wider than its frame begins with its first block in sight.
    for (const frame of document.querySelectorAll(".bb .svg:not([data-ready])")) {
      frame.dataset.ready = "1";
      const first = frame.querySelector("[data-pc]");
      if (!first) continue;
      const box = first.getBoundingClientRect(), outer = frame.getBoundingClientRect();
      frame.scrollLeft += box.left + box.width / 2 - (outer.left + outer.width / 2);
    }
    for (const native of document.querySelectorAll(".bb .native:not([data-ready])")) {
      native.dataset.ready = "1";
      // Arrows need the places of rows, which are known when the table is laid out.
      new IntersectionObserver((seen, self) => { if (seen.some((s) => s.isIntersecting)) { self.disconnect(); requestAnimationFrame(() => arrows(native)); } })
        .observe(native);
    }
  };
})())();
