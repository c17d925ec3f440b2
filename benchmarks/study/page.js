// The pairs, the answers and where they are kept.
"use strict";
const study = JSON.parse(find("study").textContent);
const CODE = /^[A-Za-z0-9-]{1,12}$/;
const FORMAT = "scanside-study-scores-1";
const SAID = new Map([
  [-2, "Left much better"], [-1, "Left better"], [0, "No difference"],
  [1, "Right better"], [2, "Right much better"],
]);
const known = new Set(study.blocks.flat().map((one) => one.pair));

let reader = "";
let order = [];
let index = 0;
let answers = new Map();

// Order: for each reader another one, always the same for the same code ----------------------

function crc32(text) {
  let crc = -1;
  for (const byte of new TextEncoder().encode(text)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

// mulberry32 (Tommy Ettinger, public domain): good enough to shuffle a few hundred pairs.
function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), seed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function shuffled(list, draw) {
  const copy = [...list];
  for (let last = copy.length - 1; last > 0; last--) {
    const other = Math.floor(draw() * (last + 1));
    [copy[last], copy[other]] = [copy[other], copy[last]];
  }
  return copy;
}

// Pairs and answers ----------------------------------------------------------------------------

async function show(next) {
  if (next < 0 || next >= order.length) return;
  index = next;
  const pair = order[index];
  shown = null;
  find("views").setAttribute("aria-busy", "true");
  say("");
  refresh();
  draw();
  const [left, right] = await Promise.all([pixels(pair.left, pair), pixels(pair.right, pair)]);
  if (order[index] !== pair) return; // the reader has gone on
  shown = { pair, left, right };
  view.fitted = true;
  find("presetlabel").hidden = !pair.ct;
  resetWindow();
  find("views").setAttribute("aria-busy", "false");
  const following = order[index + 1];
  if (following) SIDES.forEach((side) => pixels(following[side], following));
}

function refresh() {
  const preference = answers.get(order[index].pair);
  for (const button of find("answers").children) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.preference) === preference));
  }
  find("position").textContent = `Pair ${index + 1} of ${order.length}`;
  find("progress").max = order.length;
  find("progress").value = answers.size;
  find("answered").textContent = `${answers.size} answered`;
  find("reader").textContent = `Reader ${reader}`;
  find("previous").disabled = index === 0;
  find("next").disabled = index === order.length - 1;
  find("save").classList.toggle("wanted", answers.size === order.length);
}

function answer(preference) {
  if (!shown) return;
  answers.set(shown.pair.pair, preference);
  const kept = keep();
  refresh();
  const done = answers.size === order.length
    ? " All pairs are answered: save the scores and send the file to the organiser." : "";
  const lost = kept ? "" : " This browser keeps nothing: save the scores before you close it.";
  say(`${SAID.get(preference)}.${done}${lost}`);
}

function preferSide(sign) {
  answer(answers.get(order[index].pair) === sign ? 2 * sign : sign);
}

function showUnanswered() {
  const after = [...order.keys()].map((step) => (index + 1 + step) % order.length);
  const open = after.find((at) => !answers.has(order[at].pair));
  if (open !== undefined) show(open);
}

function say(text) {
  find("status").textContent = text;
}

// Keeping, saving, going on --------------------------------------------------------------------

const place = () => `scanside-study-${study.study}-${reader}`;

function keep() {
  try {
    localStorage.setItem(place(), JSON.stringify([...answers]));
    return true;
  } catch {
    return false;
  }
}

function kept() {
  try {
    const list = JSON.parse(localStorage.getItem(place())) ?? [];
    return new Map(list.filter(([pair, preference]) => known.has(pair) && SAID.has(preference)));
  } catch {
    return new Map();
  }
}

function checksum(code, list) {
  const parts = [study.study, code, ...list.map((one) => `${one.pair}:${one.preference}`)];
  return crc32(parts.join(",")).toString(16).padStart(8, "0");
}

function save() {
  const list = order
    .filter(({ pair }) => answers.has(pair))
    .map(({ pair }) => ({ pair, preference: answers.get(pair) }));
  const scores = {
    format: FORMAT, study: study.study, reader, answers: list, checksum: checksum(reader, list),
  };
  const link = document.createElement("a");
  link.href = URL.createObjectURL(
    new Blob([JSON.stringify(scores, null, 1)], { type: "application/json" }),
  );
  link.download = `scores-${reader}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  const open = order.length - answers.size;
  say(`Saved as ${link.download}${open ? `, with ${open} pairs still to answer` : ""}.`);
}

async function load(file) {
  let scores;
  try {
    scores = JSON.parse(await file.text());
    if (scores.format !== FORMAT || !CODE.test(scores.reader)) throw new TypeError();
    if (checksum(scores.reader, scores.answers) !== scores.checksum) throw new TypeError();
  } catch {
    return refuse("This file holds no scores as this page saves them.");
  }
  if (scores.study !== study.study) return refuse("These scores are of another study.");
  const told = new Map(scores.answers.map((one) => [one.pair, one.preference]));
  if ([...told].some(([pair, preference]) => !known.has(pair) || !SAID.has(preference))) {
    return refuse("This file holds answers that this page never asked for.");
  }
  return begin(scores.reader, told);
}

function refuse(text) {
  find("startstatus").textContent = text;
}

function begin(code, told) {
  reader = code;
  const dice = random(crc32(`${study.study},${reader}`));
  order = study.blocks.flatMap((block) => shuffled(block, dice));
  answers = new Map([...kept(), ...told]);
  keep();
  find("start").hidden = true;
  find("reading").hidden = false;
  find("reading").focus();
  const open = order.findIndex(({ pair }) => !answers.has(pair));
  show(open < 0 ? order.length - 1 : open);
  say(answers.size ? `Going on: ${answers.size} answered before.` : "Press ? for the keys.");
}

// What the reader does -------------------------------------------------------------------------

const STEP = 40; // device pixels of a move by key
const KEYS = {
  1: () => preferSide(-1), 2: () => preferSide(1), 0: () => answer(0),
  ArrowLeft: () => show(index - 1), ArrowRight: () => show(index + 1), n: showUnanswered,
  "+": () => changeZoom(1.25), "=": () => changeZoom(1.25), "-": () => changeZoom(0.8),
  w: () => changeWindow(1 / 1.1, 0), e: () => changeWindow(1.1, 0),
  s: () => changeWindow(1, -0.05), d: () => changeWindow(1, 0.05),
  r: resetWindow, f: fit, a: actual, "?": () => find("keys").showModal(),
};
const MOVES = {
  ArrowLeft: [STEP, 0], ArrowRight: [-STEP, 0], ArrowUp: [0, STEP], ArrowDown: [0, -STEP],
};

document.addEventListener("keydown", (event) => {
  if (find("reading").hidden || find("keys").open || event.ctrlKey || event.altKey || event.metaKey) {
    return;
  }
  if (event.target.matches("input, select")) return;
  const moved = event.shiftKey && MOVES[event.key];
  // Own names only: a key may be called "toString" by nobody, but an input method may say so.
  const act = moved ? () => move(...moved) : Object.hasOwn(KEYS, event.key) && KEYS[event.key];
  if (!act || (event.repeat && "012".includes(event.key))) return;
  event.preventDefault();
  act();
});

find("answers").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) answer(Number(button.dataset.preference));
});
find("previous").addEventListener("click", () => show(index - 1));
find("next").addEventListener("click", () => show(index + 1));
find("help").addEventListener("click", () => find("keys").showModal());
find("save").addEventListener("click", save);
find("reset").addEventListener("click", () => { find("preset").value = ""; resetWindow(); });
find("fit").addEventListener("click", fit);
find("actual").addEventListener("click", actual);
find("preset").addEventListener("change", resetWindow);
find("load").addEventListener("change", (event) => {
  if (event.target.files[0]) load(event.target.files[0]);
  event.target.value = "";
});
find("begin").addEventListener("submit", (event) => {
  event.preventDefault();
  const code = find("code").value.trim();
  if (CODE.test(code)) begin(code, []);
  else refuse("A code has 1 to 12 letters, digits or hyphens.");
});

find("reading").tabIndex = -1;
find("total").textContent = known.size;
if (typeof DecompressionStream === "undefined") {
  refuse("This browser is too old: use Chromium 80, Firefox 113 or Safari 16.4, or a later one.");
  for (const control of find("begin").elements) control.disabled = true;
}
