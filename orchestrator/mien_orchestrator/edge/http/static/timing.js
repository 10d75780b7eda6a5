// The timing tree as a waterfall, with the critical path.

import { element } from "./dom.js";

export function waterfall(timing) {
  const { total, critical_path: critical } = timing;
  const rows = [];
  const add = (span, depth, parent) => {
    const marked = critical.includes(span.name) && (depth === 1 || parent === "tasks");
    rows.push(row(span, depth, marked || span.name === "tasks", total.elapsed_ms));
    for (const child of span.children) add(child, depth + 1, span.name);
  };
  for (const step of total.children) add(step, 1, "total");
  return rows;
}

function row(span, depth, critical, whole) {
  const bar = element("div", { className: "span" });
  bar.style.left = `${(span.start_ms / whole) * 100}%`;
  bar.style.width = `${(span.elapsed_ms / whole) * 100}%`;
  const marked = critical ? " critical" : "";
  return element("li", { className: `step depth-${depth}${marked}` },
    element("span", { className: "name" }, span.name),
    element("div", { className: "lane", "aria-hidden": "true" }, bar),
    element("span", { className: "time" }, `${span.elapsed_ms.toFixed(1)} ms`));
}

export function summary(timing) {
  const path = timing.critical_path.join(", then ");
  return `${timing.total.elapsed_ms.toFixed(1)} ms in the server. The reply waited for ${path}.`;
}
