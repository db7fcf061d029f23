// Places of charts: each is drawn while it is in sight, in place, and its table is written when somebody opens it.
import { get, make, table } from "./make.js";

const seen = new Set(); // places in sight
const places = new Map(); // element -> place
let wanted = () => {};
const watch = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const place = places.get(entry.target);
    if (entry.isIntersecting) seen.add(place);
    else seen.delete(place);
    if (entry.isIntersecting && place.stale) wanted(place);
  }
}, { rootMargin: "120px" });

export const onWanted = (f) => (wanted = f);

// A place for one chart; `prefix` tells the sides apart.
export function placeFor(name, prefix, figure = make("figure", { class: "panel" })) {
  const id = `${prefix}-${name}`;
  const place = { name, side: prefix, figure, stale: true, chart: null, shown: "" };
  place.title = make("h3", { id: `title-${id}` });
  place.said = make("figcaption", { class: "dim small" });
  place.box = make("div", { class: "chart", id: `chart-${id}`, role: "img", "aria-labelledby": `title-${id}` });
  place.twin = make("details", {}, make("summary", {}, "Show as table"));
  place.twin.addEventListener("toggle", () => {
    if (!place.twin.open) return;
    place.stale = true;
    wanted(place);
  });
  figure.append(place.title, place.said, place.box, place.twin);
  places.set(figure, place);
  watch.observe(figure);
  return place;
}

// One that the last device had no figures for is asked for again: the next may have them.
export const inSight = (place) => seen.has(place) || place.figure.hidden;

export async function draw(place, chart) {
  place.stale = Boolean(chart) && place.twin.open && !chart.rows; // opened while the answer was on its way
  place.figure.hidden = !chart;
  if (!chart) return;
  place.chart = chart;
  const height = `${chart.figure.layout.height}px`;
  if (place.box.style.minHeight !== height) place.box.style.minHeight = height;
  await netlathe.draw(place.box, chart);
  link(place);
}

// Its texts and, where it is open, its table: after all charts are drawn.
export function said(place) {
  const { chart } = place;
  if (!chart) return;
  place.title.textContent = chart.title;
  place.said.textContent = chart.description;
  if (place.twin.open && chart.rows) writeTable(place);
}

function writeTable(place) {
  const { heads, rows, title } = place.chart;
  place.twin.replaceChildren(place.twin.firstChild, table(heads, rows, `${title}, as a table`));
}

// What the pointer rests on in one chart is marked in the others that know the operator.
function link(place) {
  if (place.linked || !place.box.on) return;
  place.linked = true;
  place.box.on("plotly_hover", (event) => mark(place, [event.points[0].customdata ?? []].flat()));
  place.box.on("plotly_unhover", () => mark(place, []));
}

// `paths`: of one operator, or of those that share a mark.
function mark(from, paths) {
  for (const place of places.values()) {
    if (place === from || place.side !== from.side || !place.linked || !inSight(place)) continue;
    const at = [];
    place.box.data.forEach((trace, curveNumber) => {
      const pointNumber = (trace.customdata || []).findIndex((known) => [known].flat().some((path) => paths.includes(path)));
      if (pointNumber >= 0) at.push({ curveNumber, pointNumber });
    });
    Plotly.Fx[at.length ? "hover" : "unhover"](place.box, at);
  }
}
