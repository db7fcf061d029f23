// The page: reads its address, asks the server, shows the answer, and follows every move of a control.
import { Gone, Mistake, alive, ask, look, send } from "./ask.js";
import { can, keep, query, read, start, state } from "./address.js";
import { draw, onWanted, placeFor, said } from "./charts.js";
import { allBack, further, setDevice, setKnobs, setLimits, setUp } from "./controls.js";
import { get } from "./make.js";
import { asked, behind, drawn, makeSide, written } from "./side.js";
import { claimBy, claimOf, setExports, showClaims, showRoad, showVersus, stepBy } from "./tools.js";
import { leave, showAdvice, showWhy } from "./why.js";

const sides = { a: makeSide("a"), b: makeSide("b") };
const front = placeFor("front", "front", get("front"));
const shown = { a: "", b: "" }; // the query whose answer each side shows
const last = { a: {}, b: {} }; // and the network that it is about, with its knobs
let frontOf = "", frontChart = null, resting = 0;

function tell(error) {
  const notice = get("notice");
  notice.hidden = !error;
  if (!error) return notice.replaceChildren();
  const hint = error.hint ? ` ${error.hint.replaceAll("\n", " ")}` : "";
  notice.textContent = `${error.path ? error.path + ": " : ""}${error.message}.${hint}`;
}

// One question at a time; while it is out, the newest state waits and older ones are forgotten.
let busy = false, again = false, moved = 0;
async function follow() {
  if (busy) return void (again = true);
  busy = true;
  clearTimeout(resting);
  do {
    again = false;
    const since = moved;
    moved = 0;
    try {
      await once();
      tell(null);
    } catch (error) {
      if (error instanceof Gone) await untilBack();
      else if (error instanceof Mistake) tell(error);
      else {
        busy = false; // what is wrong with one answer does not stop the next
        throw error;
      }
    }
    if (since) painted(since);
  } while (again);
  busy = false;
  resting = setTimeout(rest, late() ? 100 : 350);
}

// From the event to the frame after the charts changed: what the benchmark reads.
function painted(since) {
  requestAnimationFrame(() => setTimeout(() => {
    performance.measure("move", { start: since, end: performance.now() });
    document.body.dataset.moves = Number(document.body.dataset.moves || 0) + 1;
  }));
}

async function once() {
  get("side-b").hidden = !state.b;
  const names = state.b ? ["a", "b"] : ["a"];
  await Promise.all(names.map(async (name) => {
    const now = query(name), own = { ...state[name] }, fresh = shown[name] !== now;
    if (!fresh && !behind(sides[name])) return;
    const answer = await ask(asked(sides[name], fresh), now);
    if (fresh && state[name] && query(name) === now) ahead(name, own); // B may have been put away meanwhile
    await drawn(sides[name], answer, fresh);
    shown[name] = now;
    last[name] = own;
  }));
  if (frontChart && !front.stale) markFront();
  for (const name of names) written(sides[name]);
  const current = sides[state.at].answer;
  if (!current) return; // B came while A was drawn: it is asked for next
  setKnobs(current);
  setLimits(current.uses);
  showWhy(current);
  showVersus(sides.a.answer, state.b && sides.b.answer);
  document.title = `${current.name} · Netlathe lab`;
}

// A knob goes on as it goes: while the page draws, the server works out the next answer, and remembers it.
function ahead(name, own) {
  const next = further(last[name], own);
  if (next) ask(asked(sides[name], true), query(name, next)).catch(() => {}); // a mistake is told when it is made
}

// The networks as upright lines on the front, with a ring where their accuracy is published. Shapes at shares of the
// frame move without a new drawing of the two hundred signs; their names are written when the page rests, for a text
// has to be measured.
function markFront(named = false) {
  const box = front.box, { xaxis, yaxis } = box._fullLayout || {};
  if (!xaxis) return;
  const share = ([low, high], value) => Math.min(Math.max((value - low) / (high - low), 0), 1);
  const shapes = [], annotations = [];
  for (const [name, color, dash] of [["a", "@depthwise", "solid"], ["b", "@grouped", "dash"]]) {
    const here = (name === "a" || state.b) && sides[name].answer?.here;
    if (!here) continue;
    const x = share(xaxis.range, Math.log10(here.ms)), line = { color, width: 2, dash };
    shapes.push({ type: "line", xref: "paper", yref: "paper", x0: x, x1: x, y0: 0, y1: 1, line });
    if (here.top1 !== null)
      shapes.push({ type: "circle", xref: "paper", yref: "paper", xsizemode: "pixel", ysizemode: "pixel", xanchor: x,
        yanchor: share(yaxis.range, here.top1), x0: -8, x1: 8, y0: -8, y1: 8, line: { ...line, dash: "solid" } });
    if (!named) continue;
    const words = `${state.b ? name.toUpperCase() : "this network"}, ${here.text}`;
    annotations.push({ text: words, x, y: name === "a" ? 1 : 0.93, xref: "paper", yref: "paper", showarrow: false,
      xanchor: x > 0.5 ? "right" : "left", yanchor: "top", font: { color } });
  }
  box.classList.toggle("moving", !named); // hides the old names
  return Plotly.relayout(box, netlathe.painted(named ? { shapes, annotations } : { shapes }));
}

async function drawFront() {
  await draw(front, frontChart);
  said(front);
  await markFront(true);
  if (!front.watched) front.box.on("plotly_relayout", (event) => "xaxis.range[0]" in event && markFront(true));
  front.watched = true;
}

// Whether a chart in sight still shows an older answer.
const late = () => behind(sides.a) || (Boolean(state.b) && behind(sides.b));

async function rest() {
  if (late()) return follow();
  if (frontChart && !front.stale) markFront(true);
  try {
    await Promise.all([showAdvice(), showRoad(), showClaims(), zoo()]);
  } catch (error) {
    if (error instanceof Gone) await untilBack();
    else if (!(error instanceof Mistake)) throw error;
  }
}

async function zoo() {
  const now = new URLSearchParams(state.shared).toString();
  if (now === frontOf) return;
  frontOf = now;
  front.title.textContent = "Accuracy, latency and memory";
  front.said.textContent = "Predicting every published network of the zoo on this device…";
  try {
    const found = await ask("front", now);
    if (now !== frontOf) return;
    frontChart = { ...found.chart, description: `${found.pick} ${found.chart.description}` };
    await drawFront();
  } catch (error) {
    if (error instanceof Gone) throw error;
    frontChart = null;
    front.said.textContent = `No front on this device: ${error.message}.`;
  }
}

async function untilBack() {
  tell({ message: "The server has stopped", hint: "Start `netlathe lab` again with the same --port and --token: this page goes on where it was." });
  document.body.classList.add("gone");
  while (!(await alive())) await new Promise((later) => setTimeout(later, 1000));
  document.body.classList.remove("gone");
  tell(null);
  shown.a = shown.b = frontOf = "";
  again = true;
}

function changed(done = true, event = performance.now()) {
  moved = moved || event;
  leave();
  keep(done);
  buttons();
  follow();
}

function buttons() {
  const { undo, redo } = can();
  setExports();
  get("undo").disabled = !undo;
  get("redo").disabled = !redo;
  get("compare").setAttribute("aria-pressed", Boolean(state.b));
  get("which").hidden = !state.b;
  for (const button of get("which").querySelectorAll("[data-side]"))
    button.setAttribute("aria-pressed", button.dataset.side === state.at);
  get("knobs-title").textContent = state.b ? `Knobs of ${state.at.toUpperCase()}` : "Knobs";
  get("sides").classList.toggle("two", Boolean(state.b));
  document.body.classList.toggle("two", Boolean(state.b));
  if (document.activeElement !== get("net")) get("net").value = state[state.at].net;
}

function restored() {
  read();
  setDevice();
  buttons();
  follow();
}

async function opened(file) {
  tell({ message: `Reading ${file.name}` });
  try {
    const found = await send(file);
    setUp(await look("menu"), changed);
    if (found.kind === "card") state.shared = { ...state.shared, device: found.name, run: "" };
    else state[state.at] = { net: found.name };
    setDevice();
    get("net").blur();
    changed();
  } catch (error) {
    if (error instanceof Gone) return untilBack().then(follow);
    tell(error);
  }
}

function wire() {
  get("pick").addEventListener("submit", (event) => {
    event.preventDefault();
    state[state.at] = { net: get("net").value.trim() };
    changed();
  });
  get("net").addEventListener("change", () => get("pick").requestSubmit());
  get("file").addEventListener("change", () => {
    if (get("file").files[0]) opened(get("file").files[0]);
    get("file").value = "";
  });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files[0]) opened(event.dataTransfer.files[0]);
  });
  get("device").addEventListener("change", () => {
    state.shared = { ...state.shared, device: get("device").value };
    delete state.shared.run;
    setDevice();
    changed();
  });
  for (const name of ["run", "batch"])
    get(name).addEventListener("change", () => {
      state.shared[name] = get(name).value;
      changed();
    });
  get("rest").addEventListener("click", allBack);
  get("undo").addEventListener("click", () => history.back());
  get("redo").addEventListener("click", () => history.forward());
  get("compare").addEventListener("click", () => {
    [state.b, state.at] = state.b ? [null, "a"] : [{ ...state.a }, "b"];
    shown.b = "";
    changed();
  });
  get("swap").addEventListener("click", () => {
    [state.a, state.b] = [state.b, state.a];
    changed();
  });
  for (const button of get("which").querySelectorAll("[data-side]"))
    button.addEventListener("click", () => {
      state.at = button.dataset.side;
      changed();
    });
  get("road-back").addEventListener("click", () => stepBy(-1, changed));
  get("road-on").addEventListener("click", () => stepBy(1, changed));
  const claimed = () => (keep(), buttons(), showClaims());
  get("claim-back").addEventListener("click", () => claimBy(-1, claimed));
  get("claim-on").addEventListener("click", () => claimBy(1, claimed));
  get("slide").addEventListener("change", () => claimOf(get("slide").value, claimed));
  get("copy").addEventListener("click", () => navigator.clipboard.writeText(get("commands").textContent));
  document.querySelector("[data-skip]").addEventListener("click", (event) => {
    event.preventDefault(); // the fragment is the state
    get("results").focus();
  });
  addEventListener("popstate", restored);
  addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.target.matches("input:not([type=range]), textarea")) return;
    const key = event.key.toLowerCase(), back = key === "z" && !event.shiftKey;
    if (!back && key !== "y" && key !== "z") return;
    event.preventDefault();
    const { undo, redo } = can();
    if (back && undo) history.back();
    if (!back && redo) history.forward();
  });
}

start();
setUp(await look("menu"), changed);
wire();
setDevice();
buttons();
// Not before: a chart that comes into sight while the menu is on its way would find no controls to set.
onWanted((place) => {
  if (place.name === "front") return frontChart && drawFront();
  follow();
});
await follow();
document.body.dataset.ready = "1";
