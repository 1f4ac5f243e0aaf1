/* The charts: drawn when they come near, again when the colours, the view or the width change. */
const LEAST_WIDTH = 280;
const NARROW = 520;
const FEW_NAMES = "few-names";  // of a layer with names that have room on any screen
const LEAST_COLUMNS = 2;
const PER_COLUMN = 200;  // pixels of a name in the legend, with its symbol

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function colours() {
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--ink").trim();
  const soft = style.getPropertyValue("--soft").trim();
  const line = style.getPropertyValue("--line").trim();
  const font = "system-ui, 'Segoe UI', 'Liberation Sans', 'DejaVu Sans', sans-serif";
  return {
    background: "transparent",
    font,
    view: { stroke: "transparent" },
    axis: { labelColor: soft, titleColor: soft, gridColor: line, domainColor: line, tickColor: line,
      titleFontWeight: 500, labelFontSize: 12, titleFontSize: 12, titlePadding: 8,
      labelLimit: 260, labelOverlap: "greedy", labelSeparation: 4 },
    legend: { labelColor: ink, titleColor: soft, labelFontSize: 12, titleFontSize: 12,
      titleFontWeight: 500, orient: "top", labelLimit: 260, columns: LEAST_COLUMNS, symbolStrokeWidth: 2, symbolOpacity: 1 },
    text: { color: ink, fontSize: 11 },
    rule: { color: soft },
    title: { color: ink },
    range: { category: isDark() ? pageData.colours.dark : pageData.colours.light },
  };
}

/** The specification with the width that there is; each part of several gets the same. */
function sized(spec, width) {
  const made = { ...spec };
  // Many names beside the marks would lie on each other: they are in the table below.
  const fits = (part) => part.mark.type !== "text" || part.name === FEW_NAMES;
  if (width < NARROW && spec.layer) made.layer = spec.layer.filter(fits);
  if (spec.vconcat) made.vconcat = spec.vconcat.map((part) => ({ ...part, width: width - 80 }));
  else made.width = width;
  if (!spec.vconcat) made.autosize = { type: "fit-x", contains: "padding" };
  const down = spec.encoding && spec.encoding.y;
  if (width < NARROW && down && down.type === "nominal") {
    // Beside the plot they would take half of the width: they stand above their lines, within it.
    const above = { title: null, ticks: false, domain: false, labelAlign: "left", labelBaseline: "bottom",
      labelPadding: -6, labelOffset: -12, labelLimit: width - 20 };
    made.encoding = { ...spec.encoding, y: { ...down, axis: above } };
  }
  return made;
}

const charts = pageData.charts.map((data) => {
  const node = document.querySelector(`[data-chart="${data.key}"]`);
  return { data, node, view: 0, near: false, drawn: null, turn: 0 };
});

async function drawChart(chart) {
  const plot = chart.node.querySelector(".plot");
  const width = Math.max(plot.clientWidth, LEAST_WIDTH);
  const key = `${chart.view} ${width} ${isDark()}`;
  if (chart.drawn === key) return;
  chart.drawn = key;
  const turn = ++chart.turn;
  const config = colours();
  config.legend.columns = Math.max(LEAST_COLUMNS, Math.floor(width / PER_COLUMN));
  if (width < NARROW) {
    config.axis.labelLimit = 150;
  }
  const holder = element("div");
  const result = await vegaEmbed(holder, sized(chart.data.views[chart.view].spec, width), {
    mode: "vega-lite", renderer: "svg", actions: false, ast: true, config,
    tooltip: { theme: isDark() ? "dark" : "light" },
  });
  // A later one may have been asked for meanwhile.
  if (turn !== chart.turn) { result.view.finalize(); return; }
  if (chart.result) chart.result.view.finalize();
  chart.result = result;
  plot.replaceChildren(holder);
  plot.dataset.drawn = "yes";
}

function tell(chart) {
  const view = chart.data.views[chart.view];
  chart.node.querySelector("figcaption").textContent = view.caption;
  const head = element("tr");
  for (const [title, number] of view.columns) {
    head.append(element("th", number ? { scope: "col", class: "number" } : { scope: "col" }, title));
  }
  const body = element("tbody");
  for (const line of view.lines) {
    const row = element("tr");
    line.forEach((text, index) => {
      row.append(element("td", view.columns[index][1] ? { class: "number" } : {}, text));
    });
    body.append(row);
  }
  chart.node.querySelector("details table").replaceChildren(element("thead", {}, head), body);
}

const nearby = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const chart = charts.find((each) => each.node === entry.target);
    chart.near = entry.isIntersecting;
    if (chart.near) drawChart(chart);
  }
}, { rootMargin: "400px" });

for (const chart of charts) {
  nearby.observe(chart.node);
  const select = chart.node.querySelector(".choice select");
  if (select) {
    select.addEventListener("change", () => {
      chart.view = Number(select.value);
      tell(chart);
      drawChart(chart);
    });
  }
}

function redraw() {
  for (const chart of charts) if (chart.near || chart.drawn) drawChart(chart);
}

themeListeners.push(redraw);
let resizing = 0;
addEventListener("resize", () => {
  clearTimeout(resizing);
  resizing = setTimeout(redraw, 150);
});
// A printer sees all of them: they are drawn soon, while nobody waits.
const idle = window.requestIdleCallback || ((work) => setTimeout(work, 600));
idle(() => { for (const chart of charts) drawChart(chart); });
setTheme(remembered());
