// Rows of one instruction light up together: in the listing, the states, the native code and the graph.
// A drawing wider than its frame begins with its first block in sight.
for (const frame of document.querySelectorAll(".bb .svg")) {
  const first = frame.querySelector("[data-pc]");
  if (!first) continue;
  const box = first.getBoundingClientRect(), outer = frame.getBoundingClientRect();
  frame.scrollLeft += box.left + box.width / 2 - (outer.left + outer.width / 2);
}

for (const root of document.querySelectorAll(".bb")) {
  const of = (e) => e.target.closest && e.target.closest("[data-pc]");
  let lit = null;
  const light = (el) => {
    const key = el && el.dataset.prog + "/" + el.dataset.pc;
    if (key === lit) return;
    root.querySelectorAll(".hot").forEach((r) => r.classList.remove("hot"));
    lit = key;
    if (el) root.querySelectorAll(`[data-prog="${CSS.escape(el.dataset.prog)}"][data-pc="${el.dataset.pc}"]`)
      .forEach((r) => r.classList.add("hot"));
  };
  root.addEventListener("mouseover", (e) => light(of(e)));
  root.addEventListener("click", (e) => {
    const el = of(e);
    if (!el) return;
    for (const other of root.querySelectorAll(`[data-prog="${CSS.escape(el.dataset.prog)}"][data-pc="${el.dataset.pc}"]`)) {
      const box = other.closest(".scroll");
      if (box && !box.contains(el)) box.scrollTop = other.offsetTop - box.clientHeight / 3;
    }
  });
}
