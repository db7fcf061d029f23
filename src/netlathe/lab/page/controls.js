// Device, budget and knobs: what a person turns. Every range has a number field as its twin.
import { KNOBS, state } from "./address.js";
import { get, make } from "./make.js";

const BUDGETS = {
  latency: ["Latency", "15ms"], memory: ["Memory", "64MB"], size: ["File", "20MB"], macs: ["MACs", "300M"],
};
let menu = { devices: [] };
let changed = () => {}; // (done) after a control moved

export function setUp(found, onChange) {
  menu = found;
  changed = onChange;
  const names = [...found.uploads.map(([name, title]) => make("option", { value: name, label: title })),
    ...found.networks.map((name) => make("option", { value: name }))];
  get("nets").replaceChildren(...names);
  const groups = Object.groupBy ? Object.groupBy(found.devices, (d) => d.class) : { Devices: found.devices };
  get("device").replaceChildren(...Object.entries(groups).map(([kind, devices]) =>
    make("optgroup", { label: kind }, ...devices.map((d) => make("option", { value: d.name }, d.title)))));
  if (!get("budget").children.length) get("budget").append(...Object.keys(BUDGETS).map(limit));
}

function limit(name) {
  const [title, example] = BUDGETS[name];
  const field = make("input", { id: `limit-${name}`, placeholder: `e.g. ${example}`, autocomplete: "off",
    "aria-describedby": `use-${name}`, onchange: () => {
      state.shared[name] = field.value.trim();
      changed(true);
    } });
  return make("div", { class: "limit" }, make("label", { for: field.id }, title), field,
    make("meter", { id: `meter-${name}`, min: 0, max: 1, "aria-label": `${title}, used of the limit` }),
    make("span", { id: `use-${name}`, class: "small" }));
}

export function setDevice() {
  const { device, run, batch } = state.shared, known = menu.devices.find((d) => d.name === device);
  get("device").value = device;
  get("run").replaceChildren(...(known?.runs || []).map(([value, text]) => make("option", { value }, text)));
  if (run && known?.runs.some(([value]) => value === run)) get("run").value = run;
  get("batch").value = batch || 1;
}

export function setLimits(uses) {
  for (const use of uses) {
    const field = get(`limit-${use.name}`), meter = get(`meter-${use.name}`), said = get(`use-${use.name}`);
    if (document.activeElement !== field) field.value = state.shared[use.name] || "";
    const share = use.share ?? 0;
    meter.value = Math.min(share, 1);
    meter.hidden = use.bound === null;
    meter.dataset.state = use.kept ? "kept" : "over";
    const over = use.kept ? "" : "over: ";
    said.textContent = use.bound === null ? `uses ${use.text}` : `${over}${use.text} of ${use.bound_text}`;
    said.className = `used small ${use.bound === null ? "dim" : use.kept ? "kept" : "over"}`;
  }
}

// Ranges of counts run over the list of legal values, so every stop is one.
export function setKnobs(answer) {
  const root = get("knobs"), names = answer.knobs.map((d) => d.name).join();
  if (root.dataset.names !== names) {
    root.dataset.names = names;
    root.replaceChildren(...answer.knobs.map(makeKnob));
  }
  for (const knob of answer.knobs) setKnob(knob);
  get("fixed").textContent = answer.fixed || (answer.knobs.length ? "" : "This network has no knobs.");
  get("rest").hidden = !answer.knobs.length;
}

function makeKnob(knob) {
  const id = `knob-${knob.name}`;
  const range = make("input", { type: "range", id, "aria-describedby": `what-${knob.name}` });
  const number = make("input", { type: "number", id: `${id}-number`, "aria-label": `${knob.title}, as a number`, step: "any" });
  range.addEventListener("input", () => turn(knob.name, valueOf(range), false));
  range.addEventListener("change", () => turn(knob.name, valueOf(range), true));
  number.addEventListener("change", () => turn(knob.name, number.value, true));
  const what = make("span", { id: `what-${knob.name}`, class: "dim small" }, knob.what);
  return make("div", { class: "knob" }, make("div", {}, make("label", { for: id }, knob.title), " ", what), number, range);
}

const valueOf = (range, at = range.value) => (range.legal ? range.legal[at] : Number(at));

function setKnob(knob) {
  const range = get(`knob-${knob.name}`), number = get(`knob-${knob.name}-number`);
  range.legal = knob.legal.length ? knob.legal : null;
  range.rest = knob.rest;
  const [min, max, step] = range.legal ? [0, knob.legal.length - 1, 1] : [knob.low, knob.high, knob.step];
  Object.assign(range, { min, max, step });
  const asked = Number(state[state.at][knob.name] ?? knob.value);
  if (!range.matches(":active")) range.value = range.legal ? knob.legal.indexOf(knob.value) : knob.value;
  const shown = String(Math.round(knob.value * 1000) / 1000);
  if (document.activeElement !== number || Number(number.value) === asked) number.value = shown;
  const text = knob.unit === "times" ? `times ${shown}` : `${shown} ${knob.unit}`;
  range.setAttribute("aria-valuetext", text);
}

function set(own, name, value, rest) {
  if (value === "" || Number(value) === rest) delete own[name];
  else own[name] = String(value);
}

// A network when the knob that has moved from `before` to `now` goes as far again; null where none moved, or at its end.
export function further(before, now) {
  const moved = KNOBS.filter((name) => before[name] !== now[name]), range = moved[0] && get(`knob-${moved[0]}`);
  if (before.net !== now.net || moved.length !== 1 || !range) return null;
  const [from, to] = [before, now].map((at) => {
    const value = Number(at[moved[0]] ?? range.rest);
    return range.legal ? range.legal.indexOf(value) : value;
  });
  const next = range.cloneNode(); // keeps to its ends and its steps
  next.value = 2 * to - from;
  if (Number(next.value) === to) return null;
  const own = { ...now };
  set(own, moved[0], valueOf(range, next.value), range.rest);
  return own;
}

export function turn(name, value, done) {
  const range = get(`knob-${name}`);
  set(state[state.at], name, value, range?.rest);
  const number = get(`knob-${name}-number`);
  if (number && value !== "") number.value = value;
  changed(done);
}

export function allBack() {
  for (const name of KNOBS) delete state[state.at][name];
  changed(true);
}
