/* The comparison: sort, filter, hide columns, copy, and why a row is what it is. */
const FIGURE = /[-+]?\d[\d.]*/;
const LINE = { group: 0, alike: 1, cells: 2, style: 3, verdict: 4, notes: 5, command: 6, values: 7 };
const hiddenColumns = new Set();
const tables = pageData.comparisons.map((data) => comparison(data));
const tools = document.querySelector("[data-tools]");

function comparison(data) {
  const table = {
    data,
    node: document.getElementById(data.key),
    more: document.querySelector(`[data-more="${data.key}"]`),
    sorted: null,
    shown: pageData.shownAtOnce,
    order: data.lines,
    opened: new Set(),
  };
  for (const line of data.lines) {
    line.verdict = data.texts[line[LINE.verdict]];
  }
  return table;
}

/** All that a row says, which is what is looked for; put together when it is first asked for. */
function wordsOf(table, line) {
  if (!line.words) {
    const words = line[LINE.cells].map((number) => table.data.texts[number]);
    line.words = [table.data.groups[line[LINE.group]], ...words].join(" ").toLowerCase();
  }
  return line.words;
}

/** What a column sorts by: the figure, else the first number of the text, else the text. */
function sortValue(table, line, column) {
  const text = table.data.texts[line[LINE.cells][column]];
  if (!table.data.columns[column].number) return text.toLowerCase();
  const value = line[LINE.values][column];
  if (value !== null) return value;
  const found = text.match(FIGURE);
  return found ? Number(found[0]) : null;
}

function compare(one, other) {
  // What is not known comes last, whichever way it is sorted.
  if (typeof one === "number") return one - other;
  return one < other ? -1 : one > other ? 1 : 0;
}

/** The rows that are to be seen: only those that are alike are put into an order. */
function arranged(table) {
  const words = tools.elements.find.value.toLowerCase().split(/\s+/).filter(Boolean);
  const verdict = tools.elements.verdict.value;
  const kept = table.data.lines.filter((line) =>
    words.every((word) => wordsOf(table, line).includes(word)) && (!verdict || line.verdict === verdict));
  if (!table.sorted) return kept;
  const { column, descending } = table.sorted;
  const places = new Map();
  kept.forEach((line) => {
    const key = `${line[LINE.group]} ${line[LINE.alike]}`;
    if (!places.has(key)) places.set(key, places.size);
  });
  const placed = kept.map((line, number) => ({
    line, number, place: places.get(`${line[LINE.group]} ${line[LINE.alike]}`),
    group: line[LINE.group], value: sortValue(table, line, column),
  }));
  placed.sort((one, other) => {
    if (one.group !== other.group) return one.group - other.group;
    if (one.place !== other.place) return one.place - other.place;
    if (one.value === null || other.value === null) {
      return (one.value === null) - (other.value === null) || one.number - other.number;
    }
    const difference = compare(one.value, other.value);
    return (descending ? -difference : difference) || one.number - other.number;
  });
  return placed.map((item) => item.line);
}

function visibleColumns(table) {
  return table.data.columns.map((column, number) => ({ ...column, index: number }))
    .filter((column) => !hiddenColumns.has(column.key));
}

function headRow(table, columns) {
  const row = element("tr");
  for (const column of columns) {
    const cell = element("th", { scope: "col" });
    if (column.number) cell.className = "number";
    const sorted = table.sorted && table.sorted.column === column.index;
    cell.setAttribute("aria-sort",
      sorted ? (table.sorted.descending ? "descending" : "ascending") : "none");
    const button = element("button", { type: "button" }, column.title);
    button.addEventListener("click", () => {
      table.shown = pageData.shownAtOnce;
      const again = table.sorted && table.sorted.column === column.index;
      // Up, down, and as it was.
      if (again && table.sorted.descending) table.sorted = null;
      else table.sorted = { column: column.index, descending: Boolean(again) };
      draw(table);
      const heads = [...table.node.tHead.querySelectorAll("button")];
      heads[columns.indexOf(column)].focus();
    });
    cell.append(button);
    row.append(cell);
  }
  return row;
}

function bodyRow(table, line, columns, unlike) {
  const row = element("tr");
  if (unlike) row.className = "unlike";
  columns.forEach((column) => {
    const text = table.data.texts[line[LINE.cells][column.index]];
    const cell = element("td");
    const last = column.index === table.data.columns.length - 1;
    if (column.number) cell.className = "number";
    if (last) cell.append(element("span", { class: `badge ${table.data.texts[line[LINE.style]]}` }, text));
    else cell.append(text);
    row.append(cell);
  });
  const opened = table.opened.has(line);
  const noted = line[LINE.notes].length > 0;
  const name = `${noted ? "why" : "repeat"}`;
  const button = element("button",
    { type: "button", class: "open", "aria-expanded": String(opened) }, name);
  button.addEventListener("click", () => {
    if (opened) table.opened.delete(line); else table.opened.add(line);
    draw(table);
    const again = [...table.node.querySelectorAll("button.open")].find((each) => each.line === line);
    if (again) again.focus();
  });
  button.line = line;
  row.lastChild.append(button);
  return row;
}

function openedRow(table, line, columns) {
  const inner = element("div", { class: "inner" });
  for (const [number, text] of line[LINE.notes]) {
    inner.append(element("p", {}, table.data.texts[text]));
    for (const advice of table.data.notes[number].advices) {
      inner.append(element("p", { class: "advice" }, `→ ${advice}`));
    }
  }
  const copy = element("button", { type: "button" }, "Copy");
  const command = line[LINE.command].map((number) => table.data.texts[number]).join(" ");
  copy.addEventListener("click", () => copyBy(copy, command));
  inner.append(element("p", { class: "advice" }, "Measure this row again:"));
  inner.append(element("div", { class: "command" }, element("code", {}, command), copy));
  return element("tr", { class: "opened" }, element("td", { colspan: columns.length }, inner));
}

function draw(table) {
  const columns = visibleColumns(table);
  table.order = arranged(table);
  const lines = table.order.slice(0, table.shown);
  const bodies = [];
  let group = null, alike = null, body = null;
  for (const line of lines) {
    if (line[LINE.group] !== group) {
      group = line[LINE.group];
      alike = line[LINE.alike];
      body = element("tbody");
      bodies.push(body);
      const title = table.data.groups[group];
      if (title) {
        const [name, ...details] = title.split(" · ");
        const inner = element("span", { class: "inner" }, name);
        if (details.length) inner.append(element("span", { class: "detail" }, ` · ${details.join(" · ")}`));
        body.append(element("tr", { class: "group" },
          element("th", { colspan: columns.length, scope: "rowgroup" }, inner)));
      }
    }
    body.append(bodyRow(table, line, columns, line[LINE.alike] !== alike));
    alike = line[LINE.alike];
    if (table.opened.has(line)) body.append(openedRow(table, line, columns));
  }
  table.node.replaceChildren(element("thead", {}, headRow(table, columns)), ...bodies);
  const left = table.order.length - lines.length;
  table.more.hidden = left <= 0;
  table.more.firstElementChild.textContent = `Show ${Math.min(left, pageData.shownAtOnce)} more of ${left}`;
}

function drawAll() {
  for (const table of tables) draw(table);
  const all = tables.reduce((sum, table) => sum + table.data.lines.length, 0);
  const kept = tables.reduce((sum, table) => sum + table.order.length, 0);
  tools.querySelector(".status").textContent =
    kept === all ? `${all} rows` : `${kept} of ${all} rows`;
}

/* --- copies: all rows that the filter leaves, in the columns that are shown --- */
const MARKS = /([\\`*|<>\[\]~$&]|(?<![\p{L}\p{N}])_|_(?![\p{L}\p{N}]))/gu;
const FORMULA = /^[=@+-]/;
const SIGNED = /^[+-]\d[\d.,]*(?:[eE][+-]?\d+)? ?[%A-Za-z]*$/;

function markdownCell(text) {
  return text.replace(/\s+/g, " ").trim().replace(MARKS, "\\$1");
}

/** Quoted where it has to be, and nothing that a spreadsheet takes for a formula. */
function csvCell(text) {
  const plain = FORMULA.test(text) && !SIGNED.test(text) ? `'${text}` : text;
  return /[",\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}

function asText(form) {
  const parts = tables.filter((table) => table.order.length).map((table) => {
    const columns = visibleColumns(table);
    const head = ["model", ...columns.map((column) => column.title)];
    const rows = table.order.map((line) => [
      table.data.groups[line[LINE.group]],
      ...columns.map((column) => table.data.texts[line[LINE.cells][column.index]]),
    ]);
    if (form === "csv") return [head, ...rows].map((row) => row.map(csvCell).join(",")).join("\n");
    const rule = ["---", ...columns.map((column) => (column.number ? "---:" : "---"))];
    const lines = [head.map(markdownCell), rule, ...rows.map((row) => row.map(markdownCell))];
    return lines.map((row) => `| ${row.join(" | ")} |`).join("\n");
  });
  return `${parts.join("\n\n")}\n`;
}

if (tools) {
  tools.hidden = false;
  tools.addEventListener("submit", (event) => event.preventDefault());
  const verdicts = new Set();
  const columns = new Map();
  for (const table of tables) {
    for (const line of table.data.lines) verdicts.add(line.verdict);
    for (const column of table.data.columns) columns.set(column.key, column.title);
  }
  for (const verdict of [...verdicts].sort()) {
    tools.elements.verdict.append(element("option", { value: verdict }, verdict));
  }
  const fieldset = tools.querySelector("fieldset");
  [...columns].forEach(([key, title], number) => {
    // The first says what a row is, the last what it is worth.
    if (number === 0 || key === "verdict") return;
    const box = element("input", { type: "checkbox" });
    box.checked = true;
    box.addEventListener("change", () => {
      if (box.checked) hiddenColumns.delete(key); else hiddenColumns.add(key);
      drawAll();
    });
    fieldset.append(element("label", {}, box, ` ${title}`));
  });
  let waiting = 0;
  tools.elements.find.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(again, 120);
  });
  tools.elements.verdict.addEventListener("change", again);
  for (const button of tools.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", () => copyBy(button, asText(button.dataset.copy)));
  }
  for (const table of tables) {
    table.more.firstElementChild.addEventListener("click", () => {
      table.shown += pageData.shownAtOnce;
      draw(table);
    });
  }
  document.addEventListener("keydown", (event) => {
    const chooser = tools.querySelector("details.columns");
    if (event.key === "Escape" && chooser.open) {
      chooser.open = false;
      chooser.querySelector("summary").focus();
    }
  });
  drawAll();
}

/** From the beginning, after another filter. */
function again() {
  for (const table of tables) table.shown = pageData.shownAtOnce;
  drawAll();
}
