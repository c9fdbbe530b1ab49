// The page: conversations in this browser, answers as they are written, and what somebody thinks of them.

import * as api from "./api.js";
import { fill } from "./answers.js";
import { made } from "./nodes.js";

const $ = (id) => document.getElementById(id);
const STORE = "burnish-conversations";
const MOST = 200; // conversations that are kept

let kept = load();
let current = kept[0] ?? fresh();
let running = null; // what stops the answers that are being written
let judging = false;

function fresh() {
  return { id: crypto.randomUUID(), title: "", turns: [] };
}

function load() {
  try {
    const found = JSON.parse(localStorage.getItem(STORE) ?? "[]");
    return Array.isArray(found) ? found.filter((one) => Array.isArray(one?.turns)) : [];
  } catch {
    return [];
  }
}

function save() {
  if (current.turns.length) kept = [current, ...kept.filter((one) => one.id !== current.id)].slice(0, MOST);
  try {
    localStorage.setItem(STORE, JSON.stringify(kept));
  } catch {
    say("This browser has no room for more conversations; export and delete some.", true);
  }
  list();
}

function say(text, wrong = false) {
  $("status").textContent = text;
  $("status").className = wrong ? "error" : "";
}

// --- the list of conversations

function list() {
  const wanted = $("search").value.trim().toLowerCase();
  const has = (one) => !wanted || JSON.stringify(one.turns).toLowerCase().includes(wanted);
  $("conversations").replaceChildren(
    ...kept.filter(has).map((one) => {
      const open = made("button", { type: "button", text: one.title || "…", onclick: () => show(one) });
      if (one.id === current.id) open.setAttribute("aria-current", "true");
      return made("li", {}, open);
    }),
  );
}

function show(conversation) {
  running?.abort();
  current = conversation;
  $("side").classList.remove("open");
  $("menu").setAttribute("aria-expanded", "false");
  draw();
  list();
  $("question").focus();
}

// --- the conversation

function draw() {
  $("turns").replaceChildren(...current.turns.map((turn, place) => (turn.role === "user" ? asked(turn, place) : answered(turn, place))));
  $("turns").scrollTop = $("turns").scrollHeight;
}

function asked(turn, place) {
  const edit = made("button", { type: "button", text: "Edit", onclick: () => change(turn, place) });
  return made("div", { class: "turn" }, made("div", { class: "user", text: turn.text }), made("div", { class: "actions" }, edit));
}

async function change(turn, place) {
  const text = await words("Edit the question; what follows it is asked anew", turn.text);
  if (text === null || !text.trim()) return;
  current.turns = current.turns.slice(0, place);
  await ask(text);
}

function answered(turn, place) {
  const several = turn.answers.length > 1;
  const box = made("div", { class: several ? "answers two" : "answers" });
  box.append(...turn.answers.map((answer, number) => one(turn, place, answer, number)));
  return made("div", { class: "turn" }, box);
}

function one(turn, place, answer, number) {
  const node = made("article", { class: "answer", "aria-label": `Answer ${number + 1}` });
  if (turn.answers.length > 1 && turn.chosen === number) node.classList.add("chosen");
  fill(node, answer);
  node.append(actions(turn, place, answer, number));
  return node;
}

function actions(turn, place, answer, number) {
  const last = place === current.turns.length - 1;
  const button = (text, pressed, onclick, kind = "") => {
    const node = made("button", { type: "button", text, class: kind, onclick });
    if (pressed !== null) node.setAttribute("aria-pressed", String(pressed));
    return node;
  };
  const parts = [button("Copy", null, () => navigator.clipboard.writeText(answer.text).then(() => say("Copied.")))];
  if (judging && answer.id && !answer.error && !answer.refusal && !answer.extra?.messages) { // answers with calls are not kept
    parts.push(
      button("Good", answer.judged === "good", () => thumb(answer, "good"), "good"),
      button("Bad", answer.judged === "bad", () => thumb(answer, "bad"), "bad"),
      button("Correct", answer.judged === "correction", () => correct(answer)),
    );
  }
  if (turn.answers.length > 1) {
    parts.push(button("This one is better", turn.chosen === number && turn.picked === true, () => pick(turn, number)));
  }
  if (last) parts.push(button("Another answer", null, () => again(turn)));
  return made("div", { class: "actions" }, ...parts);
}

// --- judging

async function told(judgement, done) {
  try {
    await api.judge(judgement);
    done();
    save();
    draw();
    say("Thank you; kept.");
  } catch (error) {
    say(error.message, true);
  }
}

async function thumb(answer, kind) {
  const reason = kind === "bad" ? await words("What is wrong with it? It may stay empty.", "") : "";
  if (reason === null) return;
  await told({ answer: answer.id, kind, ...(reason ? { reason } : {}) }, () => { answer.judged = kind; });
}

async function correct(answer) {
  const text = await words("What should it have said?", answer.text);
  if (text === null || !text.trim() || text === answer.text) return;
  await told({ answer: answer.id, kind: "correction", text }, () => {
    answer.judged = "correction";
    answer.text = text;
  });
}

async function pick(turn, number) {
  const chosen = turn.answers[number];
  const others = turn.answers.filter((answer) => answer.id && answer !== chosen && !answer.error);
  turn.chosen = number;
  if (!judging) {
    save();
    draw();
    return;
  }
  for (const other of others) {
    await told({ answer: chosen.id, kind: "better", than: other.id }, () => { turn.picked = true; });
  }
}

function words(title, text) {
  $("words-title").textContent = title;
  $("words-text").value = text;
  $("words").returnValue = "cancel";
  $("words").showModal();
  $("words-text").focus();
  return new Promise((resolve) => {
    $("words").addEventListener("close", () => resolve($("words").returnValue === "save" ? $("words-text").value : null), { once: true });
  });
}

// --- asking

function messages(upTo) {
  const refused = (turn) => turn?.answers?.[turn.chosen ?? 0]?.refusal; // such a question leaves no turn
  return current.turns.slice(0, upTo).flatMap((turn, place, turns) => {
    if (refused(turn) || refused(turns[place + 1])) return [];
    if (turn.role === "user") return [{ role: "user", content: turn.text }];
    const answer = turn.answers[turn.chosen ?? 0];
    return answer.extra?.messages ?? [{ role: "assistant", content: answer.text }]; // with calls and their results
  });
}

async function ask(text) {
  current.title ||= text.slice(0, 80);
  current.turns.push({ role: "user", text });
  const turn = { role: "assistant", answers: [], chosen: 0 };
  current.turns.push(turn);
  draw();
  await write(turn, $("beside").checked ? 2 : 1);
}

async function again(turn) {
  if (running) return;
  await write(turn, 1);
}

async function write(turn, count) {
  const conversation = current;
  const place = conversation.turns.indexOf(turn);
  const asked = messages(place);
  running = new AbortController();
  const { signal } = running;
  const began = turn.answers.length;
  for (let number = 0; number < count; number += 1) turn.answers.push({ id: "", text: "", reasoning: "", hops: [] });
  const mine = turn.answers.slice(began);
  draw();
  busy(true);
  say("Writing.");
  try {
    await Promise.all(mine.map((answer, number) => hear(answer, conversation, turn, asked, signal, turn.answers.length > 1 ? began + number : 0)));
    say("The answer is complete.");
  } catch (error) {
    if (error.name === "AbortError") say("Stopped.");
    else say(error.message, true);
    if (error.status === 401) await login();
  } finally {
    running = null;
    busy(false);
    turn.answers = turn.answers.filter((answer) => answer.text || answer.reasoning || answer.error || answer.refusal || answer.hops?.length);
    if (!turn.answers.length) conversation.turns = conversation.turns.filter((one) => one !== turn);
    save();
    if (current === conversation) draw();
  }
}

async function hear(answer, conversation, turn, asked, signal, number) {
  const request = { model: $("model").value, messages: asked, user: conversation.id };
  // Of several answers only the first may be the most probable one.
  if (turn.answers.length > 1 && number > 0) Object.assign(request, { temperature: 0.8, seed: Math.floor(Math.random() * 2 ** 31) });
  try {
    await api.answer(request, signal, (piece) => {
      answer.id = piece.id ?? answer.id;
      answer.text += piece.content;
      answer.reasoning += piece.reasoning;
      hop(answer, piece.extra ?? {});
      answer.refusal = piece.refusal ?? answer.refusal;
      answer.finish = piece.finish ?? answer.finish;
      const nodes = $("turns").lastElementChild?.querySelectorAll(".answer");
      if (current === conversation && nodes?.[turn.answers.indexOf(answer)]) {
        const follow = $("turns").scrollHeight - $("turns").scrollTop - $("turns").clientHeight < 80;
        fill(nodes[turn.answers.indexOf(answer)], answer);
        if (follow) $("turns").scrollTop = $("turns").scrollHeight;
      }
    });
  } catch (error) {
    if (error.name !== "AbortError") answer.error = error.message;
    throw error;
  }
}

// What comes beside the text: a call, what came of one, or what belongs to the whole answer.
function hop(answer, { call, result, ...extra }) {
  if (call) answer.hops.push({ at: answer.text.length, ...call });
  if (result) Object.assign(answer.hops.find((one) => one.number === result.number) ?? {}, { result });
  answer.extra = { ...answer.extra, ...extra };
}

async function login() {
  const value = await words("This server needs an API key", "");
  if (value !== null && value.trim()) {
    api.setKey(value.trim());
    await start();
  }
}

function busy(yes) {
  $("stop").hidden = !yes;
  $("send").disabled = yes;
  $("turns").setAttribute("aria-busy", String(yes));
}

// --- the frame

$("ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = $("question").value;
  if (!text.trim() || running) return;
  $("question").value = "";
  await ask(text);
});
$("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("ask").requestSubmit();
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && running && !$("words").open) running.abort();
  if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    show(fresh());
  }
});
$("stop").addEventListener("click", () => running?.abort());
$("new").addEventListener("click", () => show(fresh()));
$("search").addEventListener("input", list);
$("menu").addEventListener("click", () => {
  const open = $("side").classList.toggle("open");
  $("menu").setAttribute("aria-expanded", String(open));
});
$("theme").addEventListener("click", () => {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.theme ?? (dark ? "dark" : "light");
  document.documentElement.dataset.theme = now === "dark" ? "light" : "dark";
  localStorage.setItem("burnish-theme", document.documentElement.dataset.theme);
});
$("remove").addEventListener("click", () => {
  kept = kept.filter((one) => one.id !== current.id);
  current = fresh();
  save();
  show(kept[0] ?? current);
});
$("export").addEventListener("click", () => {
  const file = URL.createObjectURL(new Blob([JSON.stringify(kept, null, 2)], { type: "application/json" }));
  made("a", { href: file, download: "conversations.json" }).click();
  setTimeout(() => URL.revokeObjectURL(file), 1000);
});

async function start() {
  try {
    const names = await api.models();
    $("model").replaceChildren(...names.map((name) => made("option", { text: name, value: name })));
    judging = await api.judges();
    say(judging ? "" : "Judgements are not kept here: the server was started without --feedback.");
  } catch (error) {
    say(error.message, true);
    if (error.status === 401) await login();
  }
  draw();
}

const theme = localStorage.getItem("burnish-theme");
if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
list();
draw();
start();
