// Figures whose colours are names (`@dense`, `@dense/0.2`) drawn by plotly in the colours of the page, and drawn again
// when light becomes dark or the page goes to paper. Used by the report and by the live page.
"use strict";
const netlathe = (() => {
  const charts = new Map(); // element -> its chart
  const known = new Map(); // what a name means now: asking the page for it makes the browser style it anew

  function colour(said) {
    if (!known.has(said)) known.set(said, looked(said));
    return known.get(said);
  }

  function looked(said) {
    const [name, strength] = said.slice(1).split("/");
    const value = getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim() || "#888";
    if (!strength) return value;
    const hex = value.length === 4 ? value.replace(/[0-9a-f]/gi, "$&$&") : value;
    const parts = [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
    return `rgba(${parts.join(",")},${strength})`;
  }

  // Only what plotly reads as a colour is replaced: a network may be called @ink.
  function painted(part, key = "") {
    if (typeof part === "string") return /colou?r$/i.test(key) && part.startsWith("@") ? colour(part) : part;
    if (Array.isArray(part)) return part.map((inner) => painted(inner, key));
    if (part && typeof part === "object")
      return Object.fromEntries(Object.entries(part).map(([name, inner]) => [name, painted(inner, name)]));
    return part;
  }

  const touch = () => matchMedia("(pointer: coarse)").matches; // a finger on a chart scrolls the page

  function draw(element, chart) {
    charts.set(element, chart);
    const { data, layout } = painted(chart.figure);
    if (touch()) layout.dragmode = false;
    const options = { displayModeBar: false, responsive: true, doubleClick: "reset" };
    return Plotly.react(element, data, layout, options);
  }

  function redraw() {
    known.clear();
    charts.forEach((chart, element) => draw(element, chart));
  }
  for (const query of ["(prefers-color-scheme: dark)", "print"]) matchMedia(query).addEventListener("change", redraw);

  return { painted, draw, redraw };
})();
