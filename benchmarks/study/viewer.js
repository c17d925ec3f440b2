// Both images under one window, zoom and position. page.js, which follows, says which they are.
"use strict";
const find = (id) => document.getElementById(id);
const SIDES = ["left", "right"];

let shown = null; // {pair, left, right}: words of the pair on the screen, null while it is decoded
let level = 0;
let width = 1;
let view = { zoom: 1, x: 0, y: 0, fitted: true }; // x, y: the image point in the middle

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

// The mouse ----------------------------------------------------------------------------------

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
