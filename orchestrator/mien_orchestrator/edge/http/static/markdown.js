// The Markdown of the models' cards: headings, paragraphs, lists, tables, code and links.

import { element } from "./dom.js";

export function markdown(text) {
  const made = [];
  const lines = text.split("\n");
  while (lines.length) made.push(...block(lines));
  return made;
}

function block(lines) {
  const line = lines[0];
  if (!line.trim() || line.startsWith("<!--")) return lines.shift() && [];
  if (line.startsWith("```")) return [code(lines)];
  const heading = /^(#{1,4}) (.*)/.exec(line);
  if (heading) return lines.shift() && [element(`h${Math.min(heading[1].length + 2, 5)}`, {}, ...inline(heading[2]))];
  if (line.startsWith("|")) return [table(take(lines, (each) => each.startsWith("|")))];
  if (/^[-*] /.test(line)) return [list(lines)];
  const words = take(lines, (each) => each.trim() && !/^(#{1,4} |\||[-*] |```)/.test(each));
  return [element("p", {}, ...inline(words.join(" ")))];
}

function take(lines, wanted) {
  const taken = [lines.shift()];
  while (lines.length && wanted(lines[0])) taken.push(lines.shift());
  return taken;
}

function code(lines) {
  lines.shift();
  const taken = [];
  while (lines.length && !lines[0].startsWith("```")) taken.push(lines.shift());
  lines.shift();
  return element("pre", {}, element("code", {}, taken.join("\n")));
}

function list(lines) {
  const items = [];
  while (lines.length && /^([-*] | {2,}\S)/.test(lines[0])) {
    const line = lines.shift();
    if (/^[-*] /.test(line)) items.push(line.slice(2));
    else items[items.length - 1] += ` ${line.trim()}`;
  }
  return element("ul", {}, ...items.map((item) => element("li", {}, ...inline(item))));
}

function table(rows) {
  const cells = rows.map((row) => row.replace(/^\||\|\s*$/g, "").split("|").map((cell) => cell.trim()));
  const head = element("tr", {}, ...cells[0].map((cell) => element("th", { scope: "col" }, ...inline(cell))));
  const body = cells.slice(2).map((row) => element("tr", {}, ...row.map((cell) => element("td", {}, ...inline(cell)))));
  return element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
}

function inline(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*|\[[^\]]+\]\([^)]+\))/).map((part) => {
    if (part.startsWith("`")) return element("code", {}, part.slice(1, -1));
    if (part.startsWith("**")) return element("strong", {}, part.slice(2, -2));
    const link = /^\[([^\]]+)\]\((https?:[^)]+)\)$/.exec(part);
    if (link) return element("a", { href: link[2], rel: "noreferrer" }, link[1]);
    return part.replace(/^\[([^\]]+)\]\([^)]+\)$/, "$1"); // a file of the repository
  });
}
