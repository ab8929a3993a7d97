"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const plots = [...document.querySelectorAll(".plot")];
  const panel = document.getElementById("layer");
  let selected = data.first;

  const worst = (index, run) => data.probes[index].runs[run][0];

  const titles = [...document.querySelectorAll("#numbers thead th")].map((cell) => cell.textContent);

  /** One row of the numbers: the run, the input, the verdict, then figures, under the table's titles. */
  function addRow(body, run, [reason, input, ...figures]) {
    const row = body.insertRow();
    [run, input, reason || "passes", ...figures].forEach((text, column) => {
      const cell = document.createElement(column ? "td" : "th");
      cell.textContent = text;
      cell.dataset.title = titles[column];
      cell.className = column === 2 && reason ? "bad" : "";
      row.append(cell);
    });
  }

  function fillNumbers(probe) {
    const body = document.querySelector("#numbers tbody");
    body.replaceChildren();
    probe.runs.forEach((rows, run) => {
      rows.forEach((cells, position) => addRow(body, position ? "" : data.runs[run], cells));
    });
  }

  /** Show the numbers of one layer, and mark it in every chart. */
  function select(index, {scroll = false, remember = true} = {}) {
    selected = Math.min(Math.max(index, 0), data.probes.length - 1);
    const probe = data.probes[selected];
    document.getElementById("name").textContent = probe.name;
    document.getElementById("shape").textContent =
      `output ${probe.shape}` + (data.whole ? "" : "; the worst input of each run, report.json has all");
    fillNumbers(probe);
    panel.hidden = false;
    panel.dataset.selected = probe.name;
    for (const plot of plots) {
      const cursor = plot.querySelector(".cursor");
      cursor.hidden = false;
      cursor.style.left = `${100 * (selected + 0.5) / data.probes.length}%`;
    }
    if (remember) history.replaceState(null, "", `#${encodeURIComponent(probe.name)}`);
    if (scroll) panel.scrollIntoView({block: "center"});
  }

  /** The layer drawn nearest to the pointer: by distance on the screen, since layers may be a pixel apart. */
  function nearest(plot, event) {
    const box = plot.getBoundingClientRect();
    const heights = data.heights[plot.dataset.panel];
    let found = 0, least = Infinity;
    heights.forEach((height, index) => {
      if (height === null) return;
      const x = box.left + box.width * (index + 0.5) / heights.length - event.clientX;
      const y = box.top + box.height * height / 100 - event.clientY;
      const distance = x * x + y * y / 9;
      if (distance < least) [found, least] = [index, distance];
    });
    return found;
  }

  function showTip(plot, event) {
    const tip = plot.querySelector(".tip");
    const index = nearest(plot, event);
    const row = worst(index, plot.dataset.panel);
    tip.textContent = `${data.probes[index].name}: ${row ? row[2] : "not measured"}`;
    tip.hidden = false;
    const share = (index + 0.5) / data.probes.length;
    tip.style.left = share < 0.5 ? `${100 * share}%` : "auto";
    tip.style.right = share < 0.5 ? "auto" : `${100 * (1 - share)}%`;
  }

  for (const plot of plots) {
    plot.addEventListener("click", (event) => select(nearest(plot, event)));
    plot.addEventListener("pointermove", (event) => showTip(plot, event));
    plot.addEventListener("pointerleave", () => { plot.querySelector(".tip").hidden = true; });
    plot.addEventListener("keydown", (event) => {
      const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
      if (!step) return;
      event.preventDefault();
      select(selected + step);
    });
  }
  for (const button of document.querySelectorAll("[data-select]")) {
    button.addEventListener("click", () => select(Number(button.dataset.select), {scroll: true}));
  }
  for (const button of document.querySelectorAll("[data-step]")) {
    button.addEventListener("click", () => select(selected + Number(button.dataset.step)));
  }
  if (data.probes.length) {
    const asked = decodeURIComponent(location.hash.slice(1));
    const found = data.probes.findIndex((probe) => probe.name === asked);
    select(found < 0 ? selected : found, {scroll: found >= 0, remember: false});
  }
  document.body.dataset.ready = "true";
})();
