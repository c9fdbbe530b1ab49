// What one answer shows: where it was looked up, what was called, reasoning folded, text, tables, sources.

import { markdown } from "./markdown.js";
import { made } from "./nodes.js";

const ENDED = {
  calls: "The limit of calls was reached.",
  time: "The time of a question was over.",
  context: "The conversation fills what the model can read.",
};

// Draws an answer; what somebody has unfolded stays so while it is written on.
export function fill(node, answer) {
  const open = new Map([...node.querySelectorAll("details[data-key]")].map((one) => [one.dataset.key, one.open]));
  const parts = [];
  if (answer.extra?.intent) parts.push(intent(answer.extra.intent));
  if (answer.reasoning) parts.push(folded("reasoning", "Reasoning", ...markdown(answer.reasoning)));
  let at = 0;
  for (const hop of answer.hops ?? []) {
    parts.push(...said(answer.text.slice(at, hop.at), hop.number), called(hop, answer.finish));
    at = hop.at;
  }
  parts.push(...said(answer.text.slice(at), "last"));
  if (answer.refusal) parts.push(made("p", { class: "note", text: answer.refusal }));
  if (answer.error) parts.push(made("p", { class: "error", text: answer.error }));
  if (answer.extra?.table) parts.push(table(answer.extra.table));
  if (answer.extra?.citations?.length) parts.push(citations(answer.extra.citations));
  const ended = ENDED[answer.extra?.ended] ?? (answer.finish === "length" ? "Cut off at the longest answer." : "");
  if (ended) parts.push(made("p", { class: "note", text: ended }));
  // What is the same stays in its place: a click on a fold must not meet another node than it began on.
  parts.forEach((part, place) => {
    const there = node.children[place];
    if (!there) node.append(part);
    else if (!same(there, part)) there.replaceWith(part);
  });
  while (node.children.length > parts.length) node.lastElementChild.remove();
  for (const one of node.querySelectorAll("details[data-key]")) one.open ||= open.get(one.dataset.key) ?? false;
}

function same(one, other) {
  const parts = ["nodeName", "className", "innerHTML"];
  return one.dataset.key === other.dataset.key && parts.every((name) => one[name] === other[name]);
}

function folded(key, title, ...children) {
  return made("details", { "data-key": key }, made("summary", { text: title }), ...children);
}

// Text with what it says between <think> and </think> folded; some templates open the block before the answer.
function said(text, key) {
  const end = text.indexOf("</think>");
  if (end < 0 && !/^\s*<think>/.test(text)) return markdown(text);
  const thought = text.slice(0, end < 0 ? undefined : end).replace(/^\s*<think>/, "");
  const rest = end < 0 ? [] : markdown(text.slice(end + "</think>".length));
  return [...(thought.trim() ? [folded(`thought-${key}`, "Reasoning", ...markdown(thought))] : []), ...rest];
}

function intent({ name, probability, ways }) {
  const where = ways.join(", ") || "the model alone";
  return made(
    "p", { class: "hop" },
    made("span", { class: "kind", text: "Intent" }),
    ` ${name || "none of those known"} (${Math.round(probability * 100)} %): ${where}`,
  );
}

// A call by its name and arguments; what came of it unfolds, and is open where it is a table.
function called({ number, name, arguments: given, result }, finish) {
  const words = Object.entries(given).map(([key, value]) => `${key}=${JSON.stringify(value)}`).join(", ");
  const state = !result ? (finish ? "not called" : "running") : result.failed ? "failed" : `${result.seconds.toFixed(1)} s`;
  const summary = made(
    "summary", {},
    made("span", { class: "kind", text: "Tool" }), " ", made("code", { text: `${name}(${words})` }),
    made("span", { class: result?.failed ? "error" : "note", text: ` ${state}` }),
  );
  const shown = result?.table && !result.failed ? [table(result.table)] : [made("pre", { text: result?.text ?? "", tabindex: "0" })];
  const node = made("details", { class: "hop", "data-key": `call-${number}` }, summary, ...(result ? shown : []));
  node.open = Boolean(result?.table);
  return node;
}

function table({ columns, rows, note }) {
  const head = made("tr", {}, ...columns.map((name) => made("th", { text: name, scope: "col" })));
  const body = rows.map((row) => made("tr", {}, ...row.map((cell) => made("td", { text: cell === null ? "NULL" : String(cell) }))));
  const grid = made("table", {}, made("thead", {}, head), made("tbody", {}, ...body));
  const wide = made("div", { class: "wide", tabindex: "0" }, grid);
  const parts = [wide, ...plot(columns, rows)];
  if (note) parts.push(made("p", { class: "note", text: note }));
  return made("div", {}, ...parts);
}

// Bars where a query returns names with one number each.
function plot(columns, rows) {
  const last = columns.length - 1;
  if (columns.length !== 2 || rows.length < 2 || rows.length > 30 || !rows.every((row) => typeof row[last] === "number")) return [];
  const most = Math.max(...rows.map((row) => Math.abs(row[last]))) || 1;
  const SVG = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 400 ${rows.length * 18}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${columns[last]} by ${columns[0]}, as bars; the table has the numbers`);
  rows.forEach((row, place) => {
    const bar = document.createElementNS(SVG, "rect");
    for (const [key, value] of Object.entries({ x: 120, y: place * 18 + 2, height: 13, width: (270 * Math.abs(row[last])) / most })) bar.setAttribute(key, value);
    bar.setAttribute("fill", "currentColor");
    bar.setAttribute("opacity", "0.55");
    const name = document.createElementNS(SVG, "text");
    for (const [key, value] of Object.entries({ x: 114, y: place * 18 + 13, "text-anchor": "end", "font-size": 11, fill: "currentColor" })) name.setAttribute(key, value);
    name.textContent = String(row[0]).slice(0, 18);
    svg.append(bar, name);
  });
  return [svg];
}

function citations(found) {
  const items = found.map((hit, number) => {
    const title = `[${number + 1}] ${hit.document}${hit.heading ? ` · ${hit.heading}` : ""}`;
    return made("li", {}, folded(`source-${number}`, title, made("pre", { text: hit.text ?? "", tabindex: "0" })));
  });
  return made("ul", { "aria-label": "Sources" }, ...items);
}
