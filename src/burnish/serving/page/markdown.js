// Markdown -> nodes. What a model wrote becomes text nodes and a few known elements, never HTML: no link is followed, no
// image is loaded, no attribute is taken from the text.

const element = (name, ...children) => {
  const made = document.createElement(name);
  made.append(...children);
  return made;
};

// `code`, **strong**, *emphasis*; a link shows its text and its address.
const INLINE = /(`+)([\s\S]+?)\1|\*\*([^*]+)\*\*|\*([^*\n]+)\*|\[([^\]\n]*)\]\(([^)\s]*)\)/g;

export function inline(text) {
  const found = [];
  let end = 0;
  for (const match of text.matchAll(INLINE)) {
    found.push(text.slice(end, match.index));
    if (match[2] !== undefined) found.push(element("code", match[2]));
    else if (match[3] !== undefined) found.push(element("strong", match[3]));
    else if (match[4] !== undefined) found.push(element("em", match[4]));
    else found.push(`${match[5]} (${match[6]})`);
    end = match.index + match[0].length;
  }
  return [...found, text.slice(end)];
}

const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());

function table(rows) {
  const head = element("tr", ...cells(rows[0]).map((cell) => element("th", ...inline(cell))));
  const body = rows.slice(2).map((row) => element("tr", ...cells(row).map((cell) => element("td", ...inline(cell)))));
  const wide = element("div", element("table", element("thead", head), element("tbody", ...body)));
  wide.className = "wide";
  wide.tabIndex = 0;
  return wide;
}

export function markdown(text) {
  const lines = text.split("\n");
  const made = [];
  let at = 0;
  while (at < lines.length) {
    const line = lines[at];
    const fence = line.match(/^\s*(```+|~~~+)/);
    if (fence) {
      const code = [];
      for (at += 1; at < lines.length && !lines[at].trim().startsWith(fence[1]); at += 1) code.push(lines[at]);
      at += 1;
      const pre = element("pre", element("code", code.join("\n")));
      pre.tabIndex = 0;
      made.push(pre);
    } else if (/^#{1,6}\s/.test(line)) {
      made.push(element("h3", ...inline(line.replace(/^#+\s+/, ""))));
      at += 1;
    } else if (line.includes("|") && /^[\s|:-]*-[\s|:-]*$/.test(lines[at + 1] ?? "") && lines[at + 1].includes("|")) {
      const rows = [];
      while (at < lines.length && lines[at].includes("|")) rows.push(lines[at++]);
      made.push(table(rows));
    } else if (/^\s*([-*+]|\d+[.)])\s/.test(line)) {
      const ordered = /^\s*\d/.test(line);
      const items = [];
      while (at < lines.length && /^\s*([-*+]|\d+[.)])\s/.test(lines[at])) {
        items.push(element("li", ...inline(lines[at].replace(/^\s*([-*+]|\d+[.)])\s+/, ""))));
        at += 1;
      }
      made.push(element(ordered ? "ol" : "ul", ...items));
    } else if (line.trim() === "") {
      at += 1;
    } else {
      const words = [line];
      at += 1;
      while (at < lines.length && lines[at].trim() !== "" && !/^(\s*(```|~~~|[-*+]\s|\d+[.)]\s)|#{1,6}\s)/.test(lines[at])) {
        words.push(lines[at++]);
      }
      made.push(element("p", ...words.flatMap((word, number) => [...(number ? [element("br")] : []), ...inline(word)])));
    }
  }
  return made;
}
