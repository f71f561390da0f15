"use strict";
(() => {
  const root = document.documentElement;
  const systemDark = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : systemDark.matches);
  const narrow = () => innerWidth < 640;

  // Colours of text and grid follow the page; those of the marks are readable on both.
  function themed(layout, isDark) {
    const text = isDark ? "#e6e9ed" : "#1b1f24", grid = isDark ? "#323a44" : "#e3e6ea";
    const changes = { "font.color": text, "hoverlabel.bgcolor": isDark ? "#1a1f25" : "#ffffff", "hoverlabel.font.color": text };
    for (const name of Object.keys(layout)) {
      if (/^[xy]axis\d*$/.test(name)) {
        changes[`${name}.gridcolor`] = grid;
        changes[`${name}.linecolor`] = grid;
      }
    }
    return changes;
  }

  function set(target, path, value) {
    const names = path.split("."), last = names.pop();
    let inner = target;
    for (const name of names) inner = inner[name] = inner[name] || {};
    inner[last] = value;
  }

  // Panels beside one another are put above one another where the page is narrow.
  function stack(layout, height) {
    const count = Object.keys(layout).filter((name) => /^xaxis\d*$/.test(name)).length;
    const gap = 0.16, share = (1 - gap * (count - 1)) / count;
    for (let i = 0; i < count; i++) {
      const suffix = i ? String(i + 1) : "", top = 1 - i * (share + gap);
      layout[`xaxis${suffix}`].domain = [0, 1];
      layout[`yaxis${suffix}`].domain = [Math.max(0, top - share), top];
    }
    layout.height = height * 0.8 * count;
  }

  async function draw(plot) {
    const { data, layout } = JSON.parse(document.getElementById(`data-${plot.dataset.figure}`).textContent);
    if (narrow()) {
      layout.margin = { l: 46, r: 8, t: 36, b: 40 };
      layout.font = { size: 10 };
      if ("beside" in plot.dataset) stack(layout, layout.height);
      plot.style.height = `${layout.height}px`;
    }
    for (const [path, value] of Object.entries(themed(layout, dark()))) set(layout, path, value);
    await Plotly.newPlot(plot, data, layout, { responsive: true, displaylogo: false, displayModeBar: narrow() || matchMedia("(hover: none)").matches ? false : "hover" });
    plot.dataset.drawn = "yes";
  }

  // One after the other, so that the page answers while it is drawn.
  async function drawAll() {
    for (const plot of document.querySelectorAll(".plot")) {
      await draw(plot);
      await new Promise((done) => setTimeout(done));
    }
    root.dataset.ready = "yes";
  }

  function recolour(isDark) {
    for (const plot of document.querySelectorAll(".plot[data-drawn]")) Plotly.relayout(plot, themed(plot.layout, isDark));
  }

  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    recolour(dark());
  });
  systemDark.addEventListener("change", () => recolour(dark()));
  // A sheet of A4 or Letter has room for this width between its margins.
  const SHEET = 650;
  function resize(sizes) {
    for (const plot of document.querySelectorAll(".plot[data-drawn]")) Plotly.relayout(plot, sizes);
  }
  addEventListener("beforeprint", () => {
    recolour(false);
    resize({ autosize: false, width: SHEET });
  });
  addEventListener("afterprint", () => {
    recolour(dark());
    resize({ autosize: true, width: null });
  });

  // A tap on a word shows its meaning, a second one or Escape hides it; it stays within the page.
  for (const word of document.querySelectorAll(".term")) {
    const tip = word.querySelector("[role=tooltip]");
    const place = () => {
      const at = word.getBoundingClientRect(), size = tip.getBoundingClientRect();
      tip.style.left = `${Math.max(8, Math.min(at.left, root.clientWidth - size.width - 8))}px`;
      const below = at.bottom + 6, fits = below + size.height <= innerHeight - 8;
      tip.style.top = `${fits ? below : Math.max(8, at.top - size.height - 6)}px`;
    };
    word.addEventListener("mouseenter", place);
    word.addEventListener("focus", place);
  }
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && document.activeElement.matches(".term")) document.activeElement.blur();
  });

  const worth = (cell) => (cell.dataset.v === undefined ? cell.textContent : cell.dataset.v);
  function sort(table, column, header) {
    const descending = header.getAttribute("aria-sort") === "ascending";
    const cells = [...table.tBodies[0].rows].map((row) => [worth(row.cells[column]), row]);
    const numeric = cells.every(([text]) => text === "" || !Number.isNaN(Number(text)));
    const order = (a, b) => (numeric ? Number(a) - Number(b) : a.localeCompare(b, "en", { numeric: true }));
    cells.sort(([a], [b]) => {
      if (a === "" || b === "") return (a === "") - (b === "");  // what is missing stays last
      return descending ? order(b, a) : order(a, b);
    });
    table.tBodies[0].append(...cells.map(([, row]) => row));
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", descending ? "descending" : "ascending");
  }
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((header, column) => header.addEventListener("click", () => sort(table, column, header)));
  }

  drawAll();
})();
