// A laboratory: draws the document that Python made of the inputs, and tells Python what the user changes.
//
// The model has two entries: `view`, the document {title, help, parts} (notebook/labs/lab.py lists the parts), and
// `action`, {name, value, n}, which is written here.  Nothing is computed in the browser.  Parts keep their elements from
// one document to the next, so that focus, caret and scroll positions stay where they are.

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

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const WORDS = { 0: "0", 1: "1", x: "unknown" };

// Each part: make(part, act) -> {node, update(part)}
const PARTS = {
  bits(first, act) {
    let part = first, current = 0;
    const legend = make("legend");
    const cells = make("div", { class: "cells", role: "group" });
    const node = make("fieldset", {}, legend, cells);
    function move(to) {
      current = Math.min(Math.max(to, 0), part.cells.length - 1);
      [...cells.children].forEach((cell, i) => (cell.tabIndex = i === current ? 0 : -1));
      cells.children[current].focus();
    }
    cells.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: current - 1, ArrowRight: current + 1, Home: 0, End: part.cells.length - 1 };
      if (!(event.key in steps) || !part.editable) return;
      move(steps[event.key]);
      event.preventDefault();
      event.stopPropagation();
    });
    function update(next) {
      part = next;
      legend.textContent = part.label;
      cells.setAttribute("aria-label", part.label);
      current = Math.min(current, part.cells.length - 1);
      while (cells.children.length > part.cells.length) cells.lastChild.remove();
      [...part.cells].forEach((value, i) => {
        let cell = cells.children[i];
        if (!cell) {
          cell = part.editable
            ? make("button", { type: "button", onclick: () => { current = i; act(part.name, i); } })
            : make("span", { role: "img" });
          cells.append(cell);
        }
        cell.className = `bit b${value}` + (part.gaps.includes(i) ? " gap" : "");
        cell.textContent = value;
        cell.setAttribute("aria-label", `${part.hints[i]}: ${WORDS[value]}`);
        cell.title = part.hints[i];
        if (part.editable) cell.tabIndex = i === current ? 0 : -1;
      });
    }
    return { node, update };
  },

  line() {
    const caption = make("figcaption"), frame = make("div"), low = make("span"), high = make("span");
    const node = make("figure", {}, caption, frame, make("div", { class: "ends" }, low, high));
    function update(part) {
      caption.textContent = part.label;
      low.textContent = part.low;
      high.textContent = part.high;
      const y = 4 + 3 * part.spans.length;
      const shapes = part.spans.flatMap(([left, right, kind], i) => [
        svg("text", { x: -3.4, y: 3.7 + 3 * i, "aria-hidden": "true" }, { a: "a", b: "b", c: "=" }[kind] || ""),
        svg("rect", { class: `span ${kind}`, x: left, y: 2 + 3 * i, width: Math.max(right - left, 0.6), height: 2 })]);
      shapes.push(...part.points.map(([x, real]) => svg("circle", { class: real ? "real" : "extra", cx: x, cy: y, r: 1.1 })));
      frame.replaceChildren(svg("svg", { class: "numberline", viewBox: `-4 0 106 ${y + 3}`,
        role: "img", "aria-label": part.label }, svg("line", { class: "axis", x1: 0, x2: 100, y1: y, y2: y }), ...shapes));
    }
    return { node, update };
  },

  choice(first, act) {
    const select = make("select", { name: first.name, onchange: () => act(first.name, select.value) });
    const text = make("span");
    function update(part) {
      text.textContent = part.label;
      if (select.children.length !== part.options.length)
        select.replaceChildren(...part.options.map((option) => make("option", { value: option }, option)));
      select.value = part.value;
    }
    return { node: make("label", {}, text, select), update, input: true };
  },

  field(first, act) {
    const many = first.rows > 1;
    const box = many ? make("textarea", { rows: first.rows, spellcheck: "false", name: first.name })
                     : make("input", { type: "text", spellcheck: "false", name: first.name });
    const text = make("span");
    let sent = first.value;
    const apply = () => { if (box.value !== sent) { sent = box.value; act(first.name, box.value); } };
    box.addEventListener("change", apply);
    box.addEventListener("blur", apply);
    box.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter" && (!many || event.ctrlKey)) { event.preventDefault(); apply(); }
    });
    function update(part) {
      text.textContent = part.label;
      if (part.value !== sent || document.activeElement !== box) { box.value = part.value; sent = part.value; }
    }
    box.value = first.value;
    return { node: make("label", { class: many ? "wide" : "" }, text, box), update, input: true };
  },

  slider(first, act) {
    const text = make("span");
    const box = make("input", { type: "range", name: first.name, oninput: () => act(first.name, Number(box.value)) });
    function update(part) {
      text.textContent = part.label;
      box.min = part.low;
      box.max = part.high;
      box.value = part.value;
      box.setAttribute("aria-valuetext", part.label);
    }
    return { node: make("label", {}, text, box), update, input: true };
  },

  table(first) {
    const caption = make("caption"), head = make("tr"), body = make("tbody");
    const node = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": first.label },
      make("table", {}, caption, make("thead", {}, head), body));
    function update(part) {
      caption.textContent = part.label;
      head.replaceChildren(...part.heads.map((h) => make("th", { scope: "col" }, h)));
      body.replaceChildren(...part.rows.map((cells, i) =>
        make("tr", { class: part.marks[i] || "", ...(part.marks[i] === "now" ? { "aria-current": "step" } : {}) },
          ...cells.map((c) => make("td", {}, c)))));
    }
    return { node, update };
  },

  drawing(first) {
    const caption = make("figcaption"), frame = make("div", { class: "svg", tabindex: "0", role: "region" });
    function update(part) {
      caption.textContent = part.label;
      frame.setAttribute("aria-label", part.label);
      if (frame.shown !== part.svg) frame.innerHTML = frame.shown = part.svg;
    }
    return { node: make("figure", {}, caption, frame), update };
  },

  say() {
    const node = make("p");
    return { node, update: (part) => { node.className = `say ${part.class}`; if (node.textContent !== part.text) node.textContent = part.text; } };
  },

  keys(first, act) {
    const node = make("div", { class: "tm-buttons", role: "toolbar", "aria-label": "steps" });
    const update = (part) => {
      if (!node.children.length)
        node.append(...part.items.map(([name, label, key]) =>
          make("button", { type: "button", title: `${label} (${key})`, onclick: () => act(name, true) }, label)));
    };
    return { node, update, keys: (key) => { const item = first.items.find((i) => i[2] === key); if (item) act(item[0], true); return Boolean(item); } };
  },
};

function render({ model, el }) {
  let count = 0, shapes = [], signature = "";
  const title = make("h3"), help = make("p", { class: "dim" }), body = make("div");
  const root = make("section", { class: "bb lab", "data-lm-suppress-shortcuts": "true" }, title, help, body);
  el.append(root);
  const act = (name, value) => {
    model.set("action", { name, value, n: ++count });
    model.save_changes();
  };
  // JupyterLab's shortcuts ask the focused element itself whether keys are its own.
  root.addEventListener("focusin", (event) => event.target.setAttribute("data-lm-suppress-shortcuts", "true"));
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
    if (shapes.some((shape) => shape.keys && shape.keys(event.key))) { event.preventDefault(); event.stopPropagation(); }
  });

  function draw() {
    const view = model.get("view");
    title.textContent = view.title;
    root.setAttribute("aria-label", view.title);
    help.textContent = view.help;
    const kinds = view.parts.map((p) => `${p.kind}:${p.name || ""}`).join(",");
    if (kinds !== signature) rebuild(view.parts, kinds);
    const says = view.parts.map((p) => p.kind).lastIndexOf("say");
    view.parts.forEach((part, i) => {
      shapes[i].update(part);
      if (part.kind === "say") shapes[i].node.setAttribute("aria-live", i === says ? "polite" : "off");
    });
  }

  // Elements of inputs that stay are used again, so that the one with the focus keeps it.
  function rebuild(parts, kinds) {
    const focused = document.activeElement;
    const known = new Map(shapes.map((shape) => [shape.id, shape]));
    let inputs = null;
    const nodes = [];
    shapes = parts.map((part, i) => {
      const id = part.name ? `${part.kind}:${part.name}` : `${part.kind}#${i}`;
      const shape = known.get(id) || { ...PARTS[part.kind](part, act), id };
      if (shape.input && !(part.rows > 1)) {
        if (!inputs) nodes.push((inputs = make("div", { class: "inputs" })));
        if (shape.node.parentNode !== inputs) inputs.append(shape.node);
      } else {
        inputs = null;
        nodes.push(shape.node);
      }
      return shape;
    });
    body.replaceChildren(...nodes);
    if (focused && root.contains(focused) && document.activeElement !== focused) focused.focus();
    signature = kinds;
  }

  model.on("change:view", draw);
  draw();
}

export default { render };
