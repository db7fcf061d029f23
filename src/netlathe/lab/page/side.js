// One network: what it is called, its figures, its charts and its stages.
import { draw, inSight, placeFor, said } from "./charts.js";
import { get, make, table } from "./make.js";

export const NAMES = ["roofline", "stages", "memory", "profile"];
const LIVE = ["roofline", "profile"]; // follow a knob as it moves; the others follow when it rests for a moment

export function makeSide(name) {
  const root = get(`side-${name}`);
  const side = { name, root, answer: null, places: {} };
  side.title = make("h2", { id: `title-${name}` });
  side.verdict = make("p", { class: "verdict small" });
  side.tiles = make("div", { class: "tiles" });
  side.notes = make("div", { role: "status" });
  side.warnings = make("details", { class: "small" }, make("summary", {}, "Warnings"), make("ul"));
  const grid = make("div", { class: "charts" });
  for (const chart of NAMES) {
    side.places[chart] = placeFor(chart, name);
    grid.append(side.places[chart].figure);
  }
  side.stages = make("div", { class: "stages" });
  root.append(make("header", {}, side.title, side.verdict), side.notes, side.tiles, grid,
    make("section", { class: "panel" }, make("h3", {}, "Stage by stage"), side.stages), side.warnings);
  return side;
}

// The charts that the next answer must bring, as the server is asked for them.
export function asked(side, fresh) {
  const now = (name) => (fresh ? LIVE.includes(name) || !side.places[name].chart : side.places[name].stale);
  const names = NAMES.filter((name) => inSight(side.places[name]) && now(name));
  const tables = names.some((name) => side.places[name].twin.open);
  return `view?charts=${names.join(",")}${tables ? "&tables=1" : ""}`;
}

export const behind = (side) => NAMES.some((name) => side.places[name].stale && inSight(side.places[name]));

// The charts of an answer. They measure texts, so they are drawn before anything else of the page is changed: after it,
// each of them would lay the whole page out again.
export function drawn(side, answer, fresh) {
  side.answer = answer;
  const done = [];
  for (const [name, place] of Object.entries(side.places)) {
    if (name in answer.charts) done.push(draw(place, answer.charts[name]));
    else if (fresh) place.stale = true;
  }
  return Promise.all(done);
}

// The texts and the table of the answer that a side has.
export function written(side) {
  const { answer } = side;
  for (const name in answer.charts) said(side.places[name]);
  side.title.textContent = `${answer.name}, ${answer.input}`;
  side.verdict.textContent = answer.verdict.text;
  side.verdict.dataset.state = answer.verdict.state;
  side.notes.replaceChildren(...answer.notes.map((note) => make("p", { class: "note small" }, note)));
  tiles(side, answer.totals);
  side.stages.replaceChildren(table(answer.stages.heads, answer.stages.rows, `Stages of ${answer.name}`));
  side.warnings.hidden = !answer.warnings.length;
  side.warnings.lastChild.replaceChildren(...answer.warnings.map((said) => make("li", {}, said)));
}

// Figures are written into the tiles that are there: nothing is built anew while a knob moves.
function tiles(side, totals) {
  const keys = totals.map((t) => t.key).join();
  if (side.tiles.dataset.keys !== keys) {
    side.tiles.dataset.keys = keys;
    side.tiles.replaceChildren(...totals.map((t) =>
      make("div", { class: "tile" }, make("span", { class: "dim small" }, t.label), make("b", { "data-total": t.key }),
        make("span", { class: "dim small" }, t.more))));
  }
  for (const t of totals) {
    const figure = side.tiles.querySelector(`[data-total="${t.key}"]`);
    figure.textContent = t.text;
    figure.nextSibling.textContent = t.more;
  }
}
