"use strict";
(() => {
  const form = document.getElementById("filter");
  const words = document.getElementById("words");
  const only = document.getElementById("only");
  const count = document.getElementById("count");
  const items = [...document.querySelectorAll(".f")].map((element) => ({
    element,
    text: element.textContent.toLowerCase(),
  }));

  const apply = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const { element, text } of items) {
      const fits = wanted.every((word) => text.includes(word));
      const stays = fits && (!only.checked || element.classList.contains("unwell"));
      element.classList.toggle("gone", !stays);
      shown += stays;
    }
    const filtered = wanted.length || only.checked;
    count.textContent = filtered ? `${shown} of ${items.length} entries` : "";
  };

  const reveal = (target) => {
    for (let one = target; one; one = one.parentElement) {
      if (one instanceof HTMLDetailsElement) one.open = true;
    }
  };

  const follow = () => {
    const target = document.getElementById(location.hash.slice(1));
    if (!target) return;
    const entry = target.closest(".gone");
    if (entry) clear();
    reveal(target);
    target.scrollIntoView({ block: "center" });
  };

  const clear = () => {
    words.value = "";
    only.checked = false;
    apply();
  };

  const links = () => [...document.querySelectorAll(".matrix td a")].filter((a) => a.offsetParent);

  const step = (by) => {
    const unwell = links().filter((a) => a.parentElement.matches(".unwell"));
    if (!unwell.length) return;
    const here = document.activeElement.closest("a") || links().find((a) => a.hash === location.hash);
    const at = unwell.indexOf(here);
    const next = at < 0 ? (by > 0 ? 0 : unwell.length - 1) : at + by;
    unwell[(next + unwell.length) % unwell.length].focus();
  };

  const move = (across, down) => {
    const cell = document.activeElement.closest(".matrix td");
    if (!cell) return false;
    const rows = [...cell.closest("tbody").rows].filter((row) => row.offsetParent);
    let row = rows.indexOf(cell.parentElement);
    let column = cell.cellIndex;
    do {
      row += down;
      column += across;
      const link = rows[row]?.cells[column]?.querySelector("a");
      if (link) {
        link.focus();
        return true;
      }
    } while (rows[row]?.cells[column] && column > 0);
    return true;
  };

  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      clear();
      words.blur();
    } else if (event.target === words) {
      return;
    } else if (event.key === "/") {
      event.preventDefault();
      words.focus();
    } else if (event.key === "o") {
      only.checked = !only.checked;
      apply();
    } else if (event.key === "n") {
      step(1);
    } else if (event.key === "p") {
      step(-1);
    } else if (event.key in arrows && move(...arrows[event.key])) {
      event.preventDefault();
    }
  });

  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  words.addEventListener("input", apply);
  only.addEventListener("change", apply);
  window.addEventListener("hashchange", follow);
  const closed = [];
  window.addEventListener("beforeprint", () => {
    for (const one of document.querySelectorAll("details:not([open])")) {
      closed.push(one);
      one.open = true;
    }
  });
  window.addEventListener("afterprint", () => {
    for (const one of closed.splice(0)) one.open = false;
  });
  follow();
})();
