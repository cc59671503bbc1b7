"use strict";
// Trajectories in space: drag or arrow keys turn them, pointing names a trial, buttons show and hide conditions.
for (const box of document.querySelectorAll(".space")) {
  const data = JSON.parse(box.querySelector("script").textContent);
  const canvas = box.querySelector("canvas"), said = box.querySelector("output"), ctx = canvas.getContext("2d");
  const hidden = new Set();
  let yaw = -0.7, pitch = 0.45, zoom = 1, hit = null, drag = null, shown = [];
  const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colourOf = (text) => (text.startsWith("var(") ? ink(text.slice(4, -1)) : text);

  function project([x, y, z], size) {
    const a = Math.cos(yaw) * x - Math.sin(yaw) * y, b = Math.sin(yaw) * x + Math.cos(yaw) * y;
    const u = Math.cos(pitch) * z - Math.sin(pitch) * b, scale = (Math.min(size[0], size[1]) / 2.15) * zoom;
    return [size[0] / 2 + a * scale, size[1] / 2 - u * scale];
  }

  function draw() {
    const ratio = window.devicePixelRatio || 1, size = [canvas.clientWidth, canvas.clientHeight];
    if (!size[0]) return;
    canvas.width = Math.round(size[0] * ratio);
    canvas.height = Math.round(size[1] * ratio);
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.clearRect(0, 0, size[0], size[1]);
    ctx.font = "13px system-ui, sans-serif";
    ctx.lineJoin = "round";
    for (const [k, axis] of [[1, 0, 0], [0, 1, 0], [0, 0, 1]].entries()) {
      const from = project(axis.map((v) => -1.1 * v), size), to = project(axis.map((v) => 1.1 * v), size);
      ctx.strokeStyle = ink("--line");
      ctx.lineWidth = 1;
      ctx.beginPath(); ctx.moveTo(...from); ctx.lineTo(...to); ctx.stroke();
      ctx.fillStyle = ink("--soft");
      ctx.fillText("PC " + (k + 1), Math.min(Math.max(to[0] + 4, 2), size[0] - 36), Math.min(Math.max(to[1] - 4, 12), size[1] - 4));
    }
    shown = data.paths.filter((path) => !hidden.has(path.group)).map((path) => ({ path, points: path.points.map((p) => project(p, size)) }));
    for (const heavy of [false, true]) {
      for (const { path, points } of shown) {
        if (path.average !== heavy) continue;
        ctx.strokeStyle = ctx.fillStyle = colourOf(data.groups[path.group].colour);
        ctx.globalAlpha = path.average || path === hit ? 1 : 0.35;
        ctx.lineWidth = path === hit ? 3.5 : path.average ? 2.6 : 1;
        ctx.beginPath();
        points.forEach((p, i) => (i ? ctx.lineTo(...p) : ctx.moveTo(...p)));
        ctx.stroke();
        if (path.average || path === hit) { ctx.beginPath(); ctx.arc(...points[0], 4.5, 0, 7); ctx.fill(); }
      }
    }
    ctx.globalAlpha = 1;
    canvas.dataset.view = [yaw.toFixed(3), pitch.toFixed(3), zoom.toFixed(3), hidden.size].join(" ");
  }

  function near(x, y) {
    let best = null, least = 14;
    for (const { path, points } of shown) {
      points.forEach((p, i) => {
        const distance = Math.hypot(p[0] - x, p[1] - y) - (path.average ? 2 : 0);
        if (distance < least) { least = distance; best = { path, i }; }
      });
    }
    return best;
  }

  function point(event) {
    const at = canvas.getBoundingClientRect(), found = near(event.clientX - at.left, event.clientY - at.top);
    hit = found && found.path;
    said.textContent = found ? `${data.groups[hit.group].label}${hit.average ? ", average" : `, trial ${hit.trial}`}, ${data.times[found.i]} ${data.unit}` : data.hint;
    draw();
  }

  canvas.addEventListener("pointerdown", (e) => { drag = [e.clientX, e.clientY]; canvas.setPointerCapture(e.pointerId); });
  canvas.addEventListener("pointermove", (e) => {
    if (!drag) return point(e);
    yaw += (e.clientX - drag[0]) * 0.01;
    pitch = Math.max(-1.5, Math.min(1.5, pitch + (e.clientY - drag[1]) * 0.01));
    drag = [e.clientX, e.clientY];
    draw();
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { drag = null; });
  canvas.addEventListener("pointerleave", () => { hit = null; said.textContent = data.hint; draw(); });
  canvas.addEventListener("keydown", (e) => {
    const turn = { ArrowLeft: [-0.1, 0, 1], ArrowRight: [0.1, 0, 1], ArrowUp: [0, -0.1, 1], ArrowDown: [0, 0.1, 1], "+": [0, 0, 1.1], "-": [0, 0, 1 / 1.1] }[e.key];
    if (!turn) return;
    e.preventDefault();
    yaw += turn[0]; pitch = Math.max(-1.5, Math.min(1.5, pitch + turn[1])); zoom = Math.max(0.4, Math.min(4, zoom * turn[2]));
    draw();
  });
  for (const button of box.querySelectorAll("button[data-group]")) {
    button.addEventListener("click", () => {
      const group = Number(button.dataset.group);
      hidden.has(group) ? hidden.delete(group) : hidden.add(group);
      button.setAttribute("aria-pressed", String(!hidden.has(group)));
      draw();
    });
  }
  for (const button of box.querySelectorAll("button[data-zoom]")) button.addEventListener("click", () => { zoom = Math.max(0.4, Math.min(4, zoom * Number(button.dataset.zoom))); draw(); });
  said.textContent = data.hint;
  new ResizeObserver(draw).observe(canvas);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}
// One option at a time.
for (const box of document.querySelectorAll(".choice")) {
  const select = box.querySelector("select"), panels = box.querySelectorAll(":scope > [data-value]");
  const turn = () => panels.forEach((panel) => { panel.hidden = panel.dataset.value !== select.value; });
  select.addEventListener("change", turn);
  turn();
}
