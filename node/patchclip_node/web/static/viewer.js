/* The radiograph on a canvas: window by drag, sliders and keys; maps and outlines of findings over it.

   A .viewer has data-pixels (address of 16-bit grey values) and data-maps (address of patch maps, or nothing). Where
   anything fails its template is shown: the picture that the server draws, as who has no script sees it. */
"use strict";

const COLOURS = [[240, 168, 48], [86, 180, 233], [230, 110, 150], [120, 200, 110], [190, 150, 255], [240, 228, 66], [255, 130, 90], [100, 220, 200]];
const STEP = 4;

class Viewer {
  constructor(root) {
    this.root = root;
    this.canvas = root.querySelector("canvas");
    this.controls = Object.fromEntries([...root.querySelectorAll("input[type=range]")].map((input) => [input.name, input]));
    this.boxes = [...root.querySelectorAll("input[type=checkbox]")];
    this.inverted = false;
    this.maps = null;
    this.tool = null; // what takes the pointer and the keys instead, while something is drawn
    root.viewer = this;
  }

  async start() {
    const answer = await fetch(this.root.dataset.pixels, { headers: { "HX-Request": "true" } });
    if (!answer.ok) throw new Error(await answer.text());
    [this.rows, this.columns] = answer.headers.get("X-Image-Size").split(" ").map(Number);
    this.values = new Uint16Array(await answer.arrayBuffer());
    if (this.root.dataset.maps) {
      const maps = await fetch(this.root.dataset.maps, { headers: { "HX-Request": "true" } });
      if (maps.ok) this.maps = await maps.json();
    }
    this.canvas.width = this.columns;
    this.canvas.height = this.rows;
    this.grey = new OffscreenCanvas(this.columns, this.rows);
    this.heat = new Map(this.boxes.map((box, index) => [box.value, this.heatOf(box.value, COLOURS[index % COLOURS.length])]));
    this.boxes.forEach((box, index) => box.parentElement.querySelector("svg").setAttribute("fill", `rgb(${COLOURS[index % COLOURS.length]})`));
    this.listen();
    this.windowed();
    this.root.classList.add("on");
  }

  heatOf(key, [red, green, blue]) {
    const encoded = this.maps?.maps[key];
    if (!encoded) return null;
    const values = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
    const picture = new ImageData(this.maps.columns, this.maps.rows);
    values.forEach((value, index) => picture.data.set([red, green, blue, value], 4 * index));
    const canvas = new OffscreenCanvas(picture.width, picture.height);
    canvas.getContext("2d").putImageData(picture, 0, 0);
    return canvas;
  }

  listen() {
    for (const input of Object.values(this.controls)) input.addEventListener("input", () => (input.name === "overlay" ? this.draw() : this.windowed()));
    for (const box of this.boxes) box.addEventListener("change", () => this.draw());
    this.root.querySelector("[name=invert]").addEventListener("click", () => this.invert());
    this.root.querySelector("[name=reset]").addEventListener("click", () => this.reset());
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.canvas.addEventListener("pointerdown", (event) => {
      if (this.tool) this.tool.down(event);
      else this.from = [event.clientX, event.clientY, this.level, this.width];
      this.canvas.setPointerCapture(event.pointerId);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (this.tool) return this.tool.move(event);
      if (!this.from || !event.buttons) return;
      const [x, y, level, width] = this.from;
      const scale = 100 / this.canvas.clientWidth;
      this.set(level + (event.clientY - y) * scale, width + (event.clientX - x) * scale);
    });
    this.canvas.addEventListener("pointerup", () => ((this.tool ?? {}).from = this.from = null));
  }

  get level() { return Number(this.controls.level.value); }
  get width() { return Number(this.controls.width.value); }

  set(level, width) {
    this.controls.level.value = level;
    this.controls.width.value = width;
    this.windowed();
  }

  key(event) {
    if (this.tool) return this.tool.key(event);
    const acts = {
      ArrowUp: () => this.set(this.level - STEP, this.width), ArrowDown: () => this.set(this.level + STEP, this.width),
      ArrowLeft: () => this.set(this.level, this.width - STEP), ArrowRight: () => this.set(this.level, this.width + STEP),
      i: () => this.invert(), 0: () => this.reset(), m: () => this.toggle(),
    };
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in acts)) return;
    event.preventDefault();
    acts[event.key]();
  }

  invert() { this.inverted = !this.inverted; this.windowed(); }
  reset() { this.inverted = false; this.set(this.controls.level.defaultValue, this.controls.width.defaultValue); }
  toggle() {
    const on = this.boxes.some((box) => box.checked);
    this.boxes.forEach((box) => (box.checked = !on && !box.disabled));
    this.draw();
  }

  windowed() {
    const low = (this.level - this.width / 2) / 100, span = this.width / 100;
    const table = new Uint8ClampedArray(65536);
    for (let value = 0; value < 65536; value++) {
      const shown = 255 * ((value / 65535 - low) / span);
      table[value] = this.inverted ? 255 - shown : shown;
    }
    const picture = new ImageData(this.columns, this.rows);
    const words = new Uint32Array(picture.data.buffer);
    for (let index = 0; index < this.values.length; index++) words[index] = 0xff000000 | (table[this.values[index]] * 0x010101);
    this.grey.getContext("2d").putImageData(picture, 0, 0);
    this.draw();
  }

  draw() {
    const to = this.canvas.getContext("2d");
    const x = this.columns / Number(this.root.dataset.columns), y = this.rows / Number(this.root.dataset.rows);
    to.globalAlpha = 1;
    to.drawImage(this.grey, 0, 0);
    to.imageSmoothingQuality = "high";
    this.boxes.forEach((box, index) => {
      if (!box.checked) return;
      const heat = this.heat.get(box.value);
      if (heat) {
        const { x: left, y: top, w, h } = this.maps.box;
        to.globalAlpha = Number(this.controls.overlay.value) / 100;
        to.drawImage(heat, left * x, top * y, w * x, h * y);
      }
      to.globalAlpha = 1;
      to.lineWidth = Math.max(2, this.columns / 400);
      to.strokeStyle = `rgb(${COLOURS[index % COLOURS.length]})`;
      for (const region of JSON.parse(box.dataset.regions)) to.strokeRect(region.x * x, region.y * y, region.w * x, region.h * y);
    });
    this.drawVerdicts(to, x, y);
    this.tool?.draw(to, x, y);
  }

  drawVerdicts(to, x, y) {
    to.strokeStyle = "#fff";
    for (const row of document.querySelectorAll(`[data-over="${this.root.id}"]`)) {
      for (const [left, top, w, h] of JSON.parse(row.dataset.boxes)) to.strokeRect(left * x, top * y, w * x, h * y);
    }
  }
}

function startAll() {
  for (const root of document.querySelectorAll(".viewer:not([data-begun])")) {
    root.dataset.begun = "";
    new Viewer(root).start().catch((error) => {
      const note = root.querySelector(".trouble");
      note.textContent = `${note.dataset.words} ${error.message.replace(/<[^>]*>/g, " ").slice(0, 200)}`;
      note.hidden = false;
      root.prepend(root.querySelector("template")?.content ?? "");
    });
  }
}

document.addEventListener("DOMContentLoaded", startAll);
document.addEventListener("htmx:afterSettle", () => {
  startAll();
  for (const root of document.querySelectorAll(".viewer.on")) root.viewer.draw();
});
