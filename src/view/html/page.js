"use strict";
(() => {
  const table = document.querySelector("#nodes table");
  if (!table) return;
  const bodies = () => [...table.tBodies];
  const filter = document.createElement("input");
  filter.id = "filter";
  filter.type = "search";
  filter.placeholder = "filter by name, status, cache, remark";
  filter.setAttribute("aria-label", filter.placeholder);
  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const body of bodies()) {
      const text = body.rows[0].textContent.toLowerCase();
      body.hidden = !words.every((word) => text.includes(word));
    }
  });
  table.parentElement.before(filter);
  // Elements are folded into their node; failed ones always show, and so does what the filter finds.
  const inside = new Map();
  for (const part of document.querySelectorAll("[data-in]")) {
    const parts = inside.get(part.dataset.in) ?? [];
    inside.set(part.dataset.in, [...parts, part]);
  }
  const unfolds = new Map();
  for (const [id, parts] of inside) {
    const node = document.getElementById(id);
    const rows = parts.filter((part) => part.tagName === "TBODY").length;
    if (!node || rows < 2) continue;
    const button = document.createElement("button");
    button.className = "fold";
    const fold = (folded) => {
      for (const part of parts) part.hidden = folded;
      button.textContent = folded ? `show ${rows} inside` : "fold";
      button.setAttribute("aria-expanded", String(!folded));
    };
    button.addEventListener("click", () => fold(button.getAttribute("aria-expanded") === "true"));
    node.rows[0].cells[0].append(button);
    unfolds.set(id, fold);
    fold(true);
  }
  filter.addEventListener("input", () => {
    if (!filter.value.trim()) for (const fold of unfolds.values()) fold(true);
  });
  const value = (body, column) => {
    const cell = body.rows[0].cells[column];
    return cell.dataset.v === undefined ? cell.textContent : Number(cell.dataset.v);
  };
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    head.classList.add("sortable");
    head.title = "sort";
    let up = false;
    head.addEventListener("click", () => {
      up = !up;
      const sorted = bodies().sort((a, b) => {
        const [x, y] = [value(a, column), value(b, column)];
        const order = typeof x === "number" ? y - x : x.localeCompare(y, undefined, { numeric: true });
        return up ? order : -order;
      });
      table.append(...sorted);
    });
  });
  const open = () => {
    const target = document.getElementById(location.hash.slice(1));
    const details = target && target.querySelector("details");
    if (details) details.open = true;
    if (target && target.dataset.in) unfolds.get(target.dataset.in)?.(false);
    if (target) target.hidden = false;
  };
  addEventListener("hashchange", open);
  open();
})();
