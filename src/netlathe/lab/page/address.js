// The state of the page is its address: net=resnet50&width=0.75&device=rpi-5, with b. before what is of the second
// network. Undo and redo are the browser's own history.
const OWN = ["net", "step", "depth", "inner", "width", "groups", "resolution"];
const SHARED = ["device", "run", "batch", "latency", "memory", "size", "macs"];
export const KNOBS = OWN.slice(2);

export const state = { a: {}, b: null, at: "a", shared: {}, claim: "" };

export function read() {
  const words = new URLSearchParams(location.hash.slice(1));
  const pick = (names, before = "") =>
    Object.fromEntries(names.filter((n) => words.has(before + n)).map((n) => [n, words.get(before + n)]));
  state.a = { net: "mobilenetv2", ...pick(OWN) };
  state.b = words.has("b.net") ? pick(OWN, "b.") : null;
  state.at = state.b && words.get("at") === "b" ? "b" : "a";
  state.shared = { device: "rpi-5", ...pick(SHARED) };
  state.claim = words.get("claim") || "";
}

function written() {
  const words = new URLSearchParams({ ...state.a, ...state.shared });
  for (const [name, value] of Object.entries(state.b || {})) words.set("b." + name, value);
  if (state.at === "b") words.set("at", "b");
  if (state.claim) words.set("claim", state.claim);
  return "#" + words;
}

// What the server is asked about one network, always in the same order.
export function query(side, own = state[side]) {
  const words = new URLSearchParams();
  for (const [names, from] of [[OWN, own], [SHARED, state.shared]])
    for (const name of names) if (from[name] !== undefined && from[name] !== "") words.set(name, from[name]);
  return words.toString();
}

const newest = () => Number(sessionStorage.getItem("newest") || 0);
const now = () => history.state?.n || 0;
export const can = () => ({ undo: now() > 0, redo: now() < newest() });

// A move that goes on replaces the address; one that is done is a step that can be undone.
let moving = false;
export function keep(done = true) {
  const same = written() === location.hash;
  if (!moving && !same) {
    history.pushState({ n: now() + 1 }, "", written());
    sessionStorage.setItem("newest", now());
  } else if (!same) history.replaceState(history.state, "", written());
  moving = !done;
}

export function start() {
  if (!history.state) {
    history.replaceState({ n: 0 }, "");
    sessionStorage.setItem("newest", 0);
  }
  read();
}
