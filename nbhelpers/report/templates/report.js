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

// The filter: only claims with one verdict, and only the sets and studies that have such a claim.
const buttons = [...document.querySelectorAll("[data-show]")];
const show = (verdict) => {
  let count = 0;
  for (const row of document.querySelectorAll("[data-verdict]")) {
    row.hidden = Boolean(verdict) && row.dataset.verdict !== verdict;
    count += !row.hidden;
  }
  for (const row of document.querySelectorAll("[data-verdicts]"))
    row.hidden = Boolean(verdict) && !row.dataset.verdicts.split(" ").includes(verdict);
  for (const part of [...document.querySelectorAll(".set"), ...document.querySelectorAll(".study")])
    part.hidden = Boolean(verdict) && !part.querySelector("[data-verdict]:not([hidden])");
  buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.show === verdict)));
  document.getElementById("shown").textContent = `${count} claim${count === 1 ? "" : "s"}`;
};
buttons.forEach((button) => button.addEventListener("click", () => show(button.dataset.show)));
show("");

// A link to a set that is closed opens it.
const open = () => document.getElementById(decodeURIComponent(location.hash.slice(1)))?.closest("details")?.setAttribute("open", "");
addEventListener("hashchange", open);
open();
