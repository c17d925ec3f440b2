"use strict";
{
  const find = (id) => document.getElementById(id);
  const study = JSON.parse(find("study").textContent);
  const CODE = /^[A-Za-z0-9-]{1,12}$/;
  const FORMAT = "scanside-study-scores-1";
  const SAID = new Map([
    [-2, "Left much better"], [-1, "Left better"], [0, "No difference"],
    [1, "Right better"], [2, "Right much better"],
  ]);
  const SIDES = ["left", "right"];
  const known = new Set(study.blocks.flat().map((one) => one.pair));

  let reader = "";
  let order = [];
  let index = 0;
  let answers = new Map();
  let shown = null; // {pair, left, right}: words of the pair on the screen, null while it is decoded
  let level = 0;
  let width = 1;
  let view = { zoom: 1, x: 0, y: 0, fitted: true }; // x, y: the image point in the middle

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

  // Pixels: base64 -> zlib -> low bytes before high bytes ------------------------------------

  const decoded = new Map(); // a few images, the latest last

  function pixels(id, picture) {
    const words = decoded.get(id) ?? decode(find(id).textContent, picture);
    decoded.delete(id);
    decoded.set(id, words);
    if (decoded.size > 6) decoded.delete(decoded.keys().next().value);
    return words;
  }

  async function decode(text, { rows, columns }) {
    const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
    const count = rows * columns;
    const words = new Uint16Array(count);
    for (let at = 0; at < count; at++) words[at] = bytes[at] + 256 * bytes[count + at];
    return words;
  }

  // Display ------------------------------------------------------------------------------------

  const buffers = { left: document.createElement("canvas"), right: document.createElement("canvas") };

  // DICOM PS3.3 C.11.2.1.3.2, LINEAR_EXACT, for every possible word; ABGR.
  function greys({ slope, intercept, inverted }) {
    const table = new Uint32Array(65536);
    for (let word = 0; word < 65536; word++) {
      const share = (slope * word + intercept - level) / width + 0.5;
      const grey = Math.round(255 * Math.min(1, Math.max(0, inverted ? 1 - share : share)));
      table[word] = 0xff000000 | (grey * 0x010101);
    }
    return table;
  }

  function paint() {
    if (!shown) return;
    const { rows, columns } = shown.pair;
    const table = greys(shown.pair);
    for (const side of SIDES) {
      const words = shown[side];
      const image = new ImageData(columns, rows);
      const out = new Uint32Array(image.data.buffer);
      for (let at = 0; at < words.length; at++) out[at] = table[words[at]];
      buffers[side].width = columns;
      buffers[side].height = rows;
      buffers[side].getContext("2d").putImageData(image, 0, 0);
    }
    const round = (value) => (width >= 20 ? Math.round(value) : Number(value.toPrecision(3)));
    find("window").textContent =
      `Window ${round(width)}  Level ${round(level)}${shown.pair.ct ? " HU" : ""}`;
    draw();
  }

  function draw() {
    for (const side of SIDES) {
      const canvas = find(side);
      const scale = window.devicePixelRatio || 1;
      const [across, down] = [canvas.clientWidth * scale, canvas.clientHeight * scale].map(Math.round);
      if (canvas.width !== across || canvas.height !== down) {
        canvas.width = across;
        canvas.height = down;
      }
      const context = canvas.getContext("2d");
      context.fillStyle = "#000";
      context.fillRect(0, 0, across, down);
      if (!shown) continue;
      const { rows, columns } = shown.pair;
      if (view.fitted) {
        view.zoom = Math.min(across / columns, down / rows);
        [view.x, view.y] = [columns / 2, rows / 2];
      }
      context.imageSmoothingEnabled = view.zoom !== 1;
      context.imageSmoothingQuality = "high";
      context.drawImage(
        buffers[side],
        Math.round(across / 2 - view.x * view.zoom), Math.round(down / 2 - view.y * view.zoom),
        columns * view.zoom, rows * view.zoom,
      );
    }
    find("zoom").textContent = `Zoom ${view.zoom.toFixed(2)}`;
  }

  function resetWindow() {
    if (!shown) return;
    const preset = shown.pair.ct ? find("preset").value : "";
    [level, width] = preset ? preset.split(",").map(Number) : [shown.pair.level, shown.pair.width];
    paint();
  }

  function changeWindow(factor, shift) {
    if (!shown) return;
    width = Math.min(1e6, Math.max(Math.abs(shown.pair.slope), width * factor));
    level += shift * width;
    paint();
  }

  // Right and down of the middle, in device pixels: the point that stays where it is.
  function changeZoom(factor, right = 0, down = 0) {
    const zoom = Math.min(64, Math.max(0.05, view.zoom * factor));
    view.x += right / view.zoom - right / zoom;
    view.y += down / view.zoom - down / zoom;
    view.zoom = zoom;
    view.fitted = false;
    draw();
  }

  function move(right, down) {
    view.x -= right / view.zoom;
    view.y -= down / view.zoom;
    view.fitted = false;
    draw();
  }

  function fit() {
    view.fitted = true;
    draw();
  }

  function actual() {
    view = { ...view, zoom: 1, fitted: false };
    draw();
  }

  // Pairs and answers ----------------------------------------------------------------------------

  async function show(next) {
    index = Math.min(order.length - 1, Math.max(0, next));
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

  for (const side of SIDES) {
    const canvas = find(side);
    let drag = null;
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("pointerdown", (event) => {
      drag = { x: event.clientX, y: event.clientY, window: event.button === 2 };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!drag) return;
      const [right, down] = [event.clientX - drag.x, event.clientY - drag.y];
      drag = { ...drag, x: event.clientX, y: event.clientY };
      const scale = window.devicePixelRatio || 1;
      if (drag.window) changeWindow(Math.exp(right / 200), down / 400);
      else move(right * scale, down * scale);
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { drag = null; });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const box = canvas.getBoundingClientRect();
      const scale = window.devicePixelRatio || 1;
      changeZoom(
        event.deltaY < 0 ? 1.15 : 1 / 1.15,
        (event.clientX - box.left - box.width / 2) * scale,
        (event.clientY - box.top - box.height / 2) * scale,
      );
    }, { passive: false });
  }
  new ResizeObserver(() => { if (!find("reading").hidden) draw(); }).observe(find("views"));

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
}
