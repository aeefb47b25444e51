// Draws the charts and keeps them fresh. No eval: Vega expressions run in the interpreter.
import { expressionInterpreter } from "./vendor/vega-interpreter.js";

const { vega, vegaLite } = globalThis;
const drawn = new Map(); // figure element -> { version, spec, rows, view }
const looks = ["(prefers-color-scheme: dark)", "print"].map((query) => matchMedia(query));
const tip = document.createElement("div");

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function theme() {
  const [ink, muted, line] = ["--ink", "--muted", "--line"].map(colour);
  const font = getComputedStyle(document.body).fontFamily;
  const text = { labelColor: muted, titleColor: muted, labelFont: font, titleFont: font, labelFontSize: 12, titleFontSize: 12 };
  return {
    background: null,
    font,
    view: { stroke: null },
    axis: { ...text, titleFontWeight: 500, gridColor: line, domainColor: line, tickColor: line },
    legend: { ...text, labelColor: ink, labelFontSize: 13, symbolStrokeWidth: 3 },
    range: { category: [1, 2, 3, 4, 5, 6, 7].map((each) => colour(`--plot-${each}`)) },
    style: {
      halo: { color: colour("--card"), stroke: ink },
      here: { color: colour("--peak") },
    },
    rule: { color: muted },
    text: { color: ink, font, fontSize: 12 },
  };
}

async function json(url) {
  const answer = await fetch(url, { headers: { accept: "application/json" } });
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}`);
  return answer.json();
}

function showTip(_, event, __, value) {
  tip.hidden = !value;
  if (!value) return;
  tip.textContent = typeof value === "object" ? Object.entries(value).map(([key, each]) => `${key}: ${each}`).join("\n") : value;
  const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
  tip.style.left = `${Math.max(8, Math.min(event.clientX + 14, room))}px`;
  tip.style.top = `${event.clientY + 16}px`;
}

// Paints what is known of a figure anew, at once: a printer does not wait.
function paint(figure) {
  const { spec, rows, view: old } = drawn.get(figure);
  old?.finalize();
  const host = figure.querySelector(".canvas");
  host.replaceChildren();
  const whole = { ...spec, datasets: { rows } };
  // A step a row, said as a number: fitting the width to the page does not go with a stepped height.
  if (spec.height?.step) whole.height = spec.height.step * rows.length;
  const runtime = vega.parse(vegaLite.compile(whole, { config: theme() }).spec, null, { ast: true });
  const view = new vega.View(runtime, { expr: expressionInterpreter, renderer: "canvas", container: host, hover: true });
  view.tooltip(showTip).run();
  drawn.get(figure).view = view;
  figure.dataset.drawn = "";
}

async function draw(figure) {
  const known = drawn.get(figure) ?? {};
  const version = figure.dataset.version;
  if (known.version === version) return;
  drawn.set(figure, { ...known, version });
  const [{ rows }, spec] = await Promise.all([json(figure.dataset.rows), known.spec ?? json(figure.dataset.spec)]);
  drawn.set(figure, { ...drawn.get(figure), rows, spec });
  if (known.view && known.rows.length === rows.length) await known.view.data("rows", rows).runAsync();
  else paint(figure);
}

function drawAll() {
  for (const figure of document.querySelectorAll("figure.chart")) {
    draw(figure).catch((error) => {
      drawn.delete(figure);
      console.error(error);
    });
  }
}

function repaint() {
  for (const [figure, { rows }] of drawn) if (rows) paint(figure);
}

function connection(lost) {
  const light = document.getElementById("connection");
  const text = lost ? "not answering, trying again" : "live";
  if (light.textContent !== text) light.textContent = text;
  light.classList.toggle("lost", lost);
}

tip.className = "tip";
tip.hidden = true;
document.body.append(tip);
document.documentElement.classList.add("scripted");
document.querySelector("[data-autosubmit]")?.addEventListener("change", (event) => event.target.form.submit());
document.addEventListener("htmx:config:request", (event) => document.hidden && event.preventDefault());
document.addEventListener("htmx:after:request", ({ detail }) => connection(detail.ctx.response.status >= 400));
document.addEventListener("htmx:error", () => connection(true));
document.addEventListener("htmx:after:swap", drawAll);
for (const each of looks) each.addEventListener("change", repaint);
drawAll();
