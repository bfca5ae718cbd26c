"use strict";
// Sorting: a click on a column's name, once more for the other direction. What is empty stays last.
const value = (row, column) => {
  const cell = row.cells[column];
  const text = (cell.dataset.value ?? cell.textContent).trim();
  const number = Number(text.replaceAll(",", "").replace("−", "-"));
  return text === "" || Number.isNaN(number) ? text : number;
};
const compare = (a, b) =>
  typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
    const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
    const rows = [...table.tBodies[0].rows].map((row) => [value(row, column), row]);
    rows.sort(([a], [b]) => (a === "") - (b === "") || direction * compare(a, b));
    table.tBodies[0].append(...rows.map(([, row]) => row));
  }));
}

// The filter: only claims with one verdict, and only the sets and studies that have such a claim. Of these the figures
// and tables, which are about all claims, are left out until all are shown again.
const buttons = [...document.querySelectorAll("[data-show]")];
const several = { claim: "claims", set: "sets", study: "studies" };
const counted = (number, name) => `${number} ${number === 1 ? name : several[name]}`;
const words = { holds: "found to hold", fails: "found to fail", undecided: "undecided", interim: "interim" };
const show = (verdict) => {
  for (const part of document.querySelectorAll("[data-verdict], [data-mark]"))
    part.hidden = Boolean(verdict) && (part.dataset.verdict ?? part.dataset.mark) !== verdict;
  for (const row of document.querySelectorAll("[data-verdicts]"))
    row.hidden = Boolean(verdict) && !row.dataset.verdicts.split(" ").includes(verdict);
  for (const part of [...document.querySelectorAll(".set"), ...document.querySelectorAll(".study")])
    part.hidden = Boolean(verdict) && !part.querySelector("[data-verdict]:not([hidden])");
  for (const part of document.querySelectorAll(".more")) part.hidden = Boolean(verdict);
  buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.show === verdict)));
  const parts = ["[data-verdict]", ".set", ".study:has(.set)"];
  const [claims, sets, studies] = parts.map((part) => document.querySelectorAll(`${part}:not([hidden])`).length);
  const where = `${counted(sets, "set")} of ${counted(studies, "study")}`;
  document.getElementById("shown").textContent = `${counted(claims, "claim")} in ${where}`;
  const none = document.getElementById("none");
  none.hidden = claims > 0;
  none.textContent = verdict ? `No claim is ${words[verdict]} at present. Show all to see the others.` : "There is no claim yet.";
  document.getElementById("overview").parentElement.hidden = Boolean(verdict) && claims === 0;
};
buttons.forEach((button) => button.addEventListener("click", () => show(button.dataset.show)));
show("");

// A table that is wider than its place says so.
const widths = new ResizeObserver((entries) => {
  for (const { target } of entries) target.previousElementSibling.hidden = target.scrollWidth <= target.clientWidth;
});
document.querySelectorAll(".scroll").forEach((place) => widths.observe(place));

// A link to a set that is closed opens it.
const open = () => document.getElementById(decodeURIComponent(location.hash.slice(1)))?.closest("details")?.setAttribute("open", "");
addEventListener("hashchange", open);
open();
