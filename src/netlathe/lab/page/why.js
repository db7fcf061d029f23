// Beside the front: the verdict, three sentences, and, when the page rests, how far the knobs go and what would help.
import { ask } from "./ask.js";
import { query, state } from "./address.js";
import { turn } from "./controls.js";
import { get, make } from "./make.js";

export function showWhy(answer) {
  const verdict = get("verdict");
  if (verdict.textContent !== answer.verdict.text) verdict.textContent = answer.verdict.text;
  verdict.dataset.state = answer.verdict.state;
  get("sentences").replaceChildren(...answer.why.map((said) => make("p", {}, said)));
  get("commands").textContent = answer.commands.join("\n");
}

let asking = null;

// Advice for a state that is gone is not worth the server's time.
export const leave = () => asking?.abort();

export async function showAdvice() {
  const asked = query(state.at);
  leave();
  asking = new AbortController();
  const found = await ask("advice", asked, asking.signal);
  if (asked !== query(state.at)) return; // a knob has moved since
  const { most, changes } = found;
  get("advice").hidden = !most.length && !changes.length;
  const open = most.filter((m) => m.value !== null && m.value !== m.now);
  const never = most.filter((m) => m.value === null).map((m) => m.title);
  get("most").replaceChildren(...open.map(({ knob, title, value }) =>
    make("button", { type: "button", onclick: () => turn(knob, value, true) }, `${title} ${value}`)));
  if (!most.length) get("most").append(make("span", { class: "dim small" }, "Set a limit, and this says how far each knob goes."));
  if (never.length) get("most").append(make("span", { class: "dim small" }, `Not enough alone: ${never.join(", ")}.`));
  const share = (x) => `${Math.round(100 * x)} %`;
  get("changes").replaceChildren(...changes.map((c) =>
    make("li", {}, `${c.name}: ${share(c.gain)} less time, ${c.text} per image${c.retrain ? ", train again" : ""}`)));
  if (!changes.length) get("changes").append(make("li", { class: "dim" }, "No known change gains 1 %."));
}
