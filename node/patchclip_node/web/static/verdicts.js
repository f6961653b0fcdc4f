/* Boxes of verdicts: a button with data-draws opens the tool on its image's canvas; then its form is sent.

   Boxes are in source pixels. A form is found by its id when it is sent: the page may have loaded itself since. */
"use strict";

class BoxTool {
  constructor(viewer, kind, send) {
    this.viewer = viewer;
    this.send = send;
    this.kept = [];
    this.panel = viewer.root.querySelector(".drawing");
    this.columns = Number(viewer.root.dataset.columns);
    this.rows = Number(viewer.root.dataset.rows);
    this.box = this.middle();
    this.acts = { take: () => this.end([...this.kept, this.box]), more: () => this.more(), placeless: () => this.end([]), leave: () => this.end(null) };
    for (const [name, act] of Object.entries(this.acts)) this.panel.querySelector(`[name=${name}]`).onclick = act;
    this.panel.querySelector("[name=placeless]").hidden = kind !== "missed";
    this.panel.hidden = false;
    viewer.tool?.end(null);
    viewer.tool = this;
    viewer.draw();
    viewer.canvas.scrollIntoView({ block: "nearest" });
    viewer.canvas.focus({ preventScroll: true });
  }

  middle() { return [this.columns * 0.4, this.rows * 0.4, this.columns * 0.2, this.rows * 0.2]; }
  more() { this.kept.push(this.box); this.box = this.middle(); this.viewer.draw(); this.viewer.canvas.focus(); }

  end(boxes) {
    this.panel.hidden = true;
    this.viewer.tool = null;
    this.viewer.draw();
    this.send(boxes);
  }

  at(event) {
    const canvas = this.viewer.canvas.getBoundingClientRect();
    const within = (value, most) => Math.min(Math.max(value, 0), most);
    return [within(((event.clientX - canvas.left) / canvas.width) * this.columns, this.columns),
      within(((event.clientY - canvas.top) / canvas.height) * this.rows, this.rows)];
  }

  down(event) { this.from = this.at(event); }
  up() { this.from = null; }
  move(event) {
    if (!this.from || !event.buttons) return;
    const [x, y] = this.at(event), [left, top] = this.from;
    this.set([Math.min(x, left), Math.min(y, top), Math.abs(x - left), Math.abs(y - top)]);
  }

  set([x, y, w, h]) {
    const least = Math.max(2, this.columns / 100);
    [w, h] = [Math.min(Math.max(w, least), this.columns), Math.min(Math.max(h, least), this.rows)];
    this.box = [Math.min(Math.max(x, 0), this.columns - w), Math.min(Math.max(y, 0), this.rows - h), w, h];
    this.viewer.draw();
  }

  key(event) {
    const step = this.columns / 50, [x, y, w, h] = this.box;
    const ways = { ArrowUp: [0, -step], ArrowDown: [0, step], ArrowLeft: [-step, 0], ArrowRight: [step, 0] };
    const way = ways[event.key];
    if (way) this.set(event.shiftKey ? [x, y, w + way[0], h + way[1]] : [x + way[0], y + way[1], w, h]);
    else if (event.key === "Enter") this.acts.take();
    else if (event.key === "Escape") this.acts.leave();
    else return;
    event.preventDefault();
  }

  draw(to, x, y) {
    to.strokeStyle = "#fff";
    to.setLineDash([8, 6]);
    for (const [left, top, w, h] of [...this.kept, this.box]) to.strokeRect(left * x, top * y, w * x, h * y);
    to.setLineDash([]);
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("button[data-draws]");
  const id = button?.form.id, viewer = document.getElementById(button?.form.dataset.viewer)?.viewer;
  if (!viewer?.values) return; // no canvas: the form goes as it is, and the node says what it lacks
  event.preventDefault();
  event.stopImmediatePropagation();
  const said = button.value;
  new BoxTool(viewer, button.dataset.draws, (boxes) => {
    const form = document.getElementById(id);
    document.getElementById(button.id)?.focus({ preventScroll: true }); // it has it again once the page is renewed
    if (!boxes || !form) return;
    form.elements.namedItem("boxes").value = JSON.stringify(boxes.map((box) => box.map((value) => Math.round(value * 10) / 10)));
    const hidden = Object.assign(document.createElement("input"), { type: "hidden", name: "said", value: said });
    form.append(hidden);
    form.requestSubmit();
  });
}, true);

document.addEventListener("htmx:beforeSwap", (event) => {
  // What the page loads by itself would take the focus off the canvas, and the keys with it: it comes again soon.
  const byItself = event.detail.requestConfig.elt.id === "live";
  if (byItself && document.querySelector(".drawing:not([hidden])")) event.detail.shouldSwap = false;
});

document.addEventListener("htmx:responseError", (event) => {
  const note = event.target.closest("form.verdicts")?.querySelector("[role=alert]");
  if (!note) return;
  const page = new DOMParser().parseFromString(event.detail.xhr.responseText, "text/html");
  note.textContent = `${note.dataset.words} ${(page.querySelector("main") ?? page.body).textContent.trim().slice(0, 300)}`;
  note.hidden = false;
});
