// The search page: every word of the question has to occur in an entry; names that begin with it come first.
const box = document.getElementById("q"), list = document.getElementById("found"), count = document.getElementById("count");
function rank(entry, words) {
  const text = entry[0].toLowerCase(), name = text.split(/[.\s]/).pop();
  let points = entry[1].includes("#") ? 0 : 2;
  for (const w of words) points += text === w ? 20 : name === w ? 12 : text.startsWith(w) || name.startsWith(w) ? 6 : 1;
  return points - text.length / 100;
}
function look() {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = words.length ? ENTRIES.filter(e => words.every(w => (e[0] + " " + e[2]).toLowerCase().includes(w))) : [];
  found.sort((a, b) => rank(b, words) - rank(a, words));
  count.textContent = words.length ? `${found.length} places` : "";
  list.replaceChildren(...found.slice(0, 80).map(([text, url, page]) => {
    const item = document.createElement("li"), link = document.createElement("a"), where = document.createElement("span");
    link.href = url; link.textContent = text; where.className = "dim"; where.textContent = " " + page;
    item.append(link, where);
    return item;
  }));
  history.replaceState(null, "", words.length ? "#" + encodeURIComponent(box.value) : "#");
}
box.addEventListener("input", look);
if (location.hash.length > 1) box.value = decodeURIComponent(location.hash.slice(1));
look();
