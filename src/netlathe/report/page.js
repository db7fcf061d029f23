// The report: every chart of the page is drawn, and its commands can be copied.
"use strict";
for (const chart of JSON.parse(document.getElementById("charts").textContent))
  netlathe.draw(document.getElementById("chart-" + chart.id), chart);

async function copy(button) {
  const source = document.getElementById(button.dataset.copies);
  try {
    await navigator.clipboard.writeText(source.textContent);
  } catch {
    const range = document.createRange(); // no clipboard for this page: what is to be copied is selected
    range.selectNodeContents(source);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    if (!document.execCommand("copy")) return (button.textContent = "Selected");
  }
  button.textContent = "Copied";
}
for (const button of document.querySelectorAll("button[data-copies]")) {
  button.hidden = false;
  button.addEventListener("click", () => copy(button));
}
