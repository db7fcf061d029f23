// Below the charts: the road to ConvNeXt, the claims, A against B, files in and out.
import { ask, look, send } from "./ask.js";
import { query, state } from "./address.js";
import { get, make, table } from "./make.js";

let steps = [], claims = null, roadOf = "";

export async function showRoad() {
  const asked = new URLSearchParams({ net: state[state.at].net }).toString();
  if (asked !== roadOf) {
    const found = await ask("road", asked);
    [roadOf, steps] = [asked, found.steps];
    get("road-said").textContent = found.why || "Each step is a rewrite of the one before; the knobs turn what it gives.";
  }
  markRoad();
}

function markRoad() {
  const at = state[state.at].step === undefined ? -1 : Math.min(Number(state[state.at].step), steps.length - 1);
  get("road-back").disabled = at < 0;
  get("road-on").disabled = at >= steps.length - 1;
  get("road-at").textContent = at < 0 ? "" : `Step ${at} of ${steps.length - 1}: ${steps[at].step}, ${steps[at].what}`;
  get("road-steps").replaceChildren(...(steps.length ? [roadTable(at)] : []));
  get("road").classList.toggle("empty", !steps.length);
}

function roadTable(at) {
  const rows = steps.map((s, i) => [`${i === at ? "▸ " : ""}${s.step}`, s.what, s.params, s.macs, s.top1 || "-"]);
  const found = table(["step", "what it changes", "params", "MACs", "top-1 %, paper"], rows, "The steps of the road");
  found.querySelectorAll("tbody tr").forEach((row, i) => i === at && row.setAttribute("aria-current", "step"));
  return found;
}

export function stepBy(by, changed) {
  const own = state[state.at], at = own.step === undefined ? -1 : Number(own.step);
  const next = Math.min(at + by, steps.length - 1);
  if (next < 0) delete own.step;
  else own.step = String(next);
  markRoad();
  changed(true);
}

export async function showClaims() {
  claims ??= (await look("claims")).claims;
  const slides = [...new Set(claims.map((c) => c.slide))];
  if (!get("slide").children.length) get("slide").append(...slides.map((s) => make("option", { value: s }, String(s))));
  const at = Math.max(0, claims.findIndex((c) => c.id === state.claim)), claim = claims[at];
  get("slide").value = claim.slide;
  get("claim-at").textContent = `Claim ${at + 1} of ${claims.length}`;
  get("claim-back").disabled = at === 0;
  get("claim-on").disabled = at === claims.length - 1;
  if (claimShown === claim.id) return;
  claimShown = claim.id;
  get("claim").replaceChildren(make("blockquote", {}, claim.text), make("p", { class: "dim" }, "Checking it now…"));
  const found = await look("claim?id=" + encodeURIComponent(claim.id));
  if (claimShown !== claim.id) return;
  const facts = [["Verdict", WORDS[found.verdict]], ["Kind", found.kind], ["Found", found.value],
    ["Evidence", found.evidence], ["Source", found.source]].filter(([, value]) => value);
  get("claim").replaceChildren(make("blockquote", {}, claim.text),
    make("dl", {}, ...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, String(value))])),
    make("pre", { tabindex: 0, role: "group", "aria-label": "Command" }, `netlathe audit --id ${claim.id}`));
}

const WORDS = { holds: "holds", caveat: "holds with a caveat", "does-not-hold": "does not hold", "not-testable": "not testable" };
let claimShown = "";

export function claimBy(by, changed) {
  const at = Math.max(0, claims.findIndex((c) => c.id === state.claim));
  state.claim = claims[Math.min(Math.max(at + by, 0), claims.length - 1)].id;
  changed();
}

export function claimOf(slide, changed) {
  state.claim = claims.find((c) => String(c.slide) === slide).id;
  changed();
}

export function showVersus(a, b) {
  get("versus").hidden = !b;
  if (!a || !b) return;
  const rows = a.totals.map((t) => {
    const other = b.totals.find((o) => o.key === t.key);
    return [t.label, t.text, other ? other.text : "-", other && t.value ? `${(other.value / t.value).toPrecision(3)}` : "-"];
  });
  const found = table(["", `A: ${a.name}`, `B: ${b.name}`, "B / A"], rows, "A and B, as a table");
  get("versus").lastElementChild.replaceWith(found);
}

export function setExports() {
  for (const link of document.querySelectorAll("[data-export]"))
    link.href = `export/${link.dataset.export}?${query(state.at)}`;
}

export { send };
