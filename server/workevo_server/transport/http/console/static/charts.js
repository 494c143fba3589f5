// Draws each chart over time from the page's own table, so that chart and table cannot disagree.
"use strict";
(() => {
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const dashes = [[], [7, 3], [2, 3], [9, 3, 2, 3], [4, 4], [1, 4]];
  const short = (value) => value >= 1e6 ? `${value / 1e6}M` : value >= 1e4 ? `${value / 1e3}k` : value.toLocaleString();
  const plots = [];
  const days = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", timeZone: "UTC" });
  const hours = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
  const axis = (more) => ({
    stroke: () => color("--quiet"), font: "11px system-ui, sans-serif", ticks: { show: false },
    grid: { stroke: () => color("--rule"), width: 1 }, ...more,
  });

  function draw(figure) {
    const rows = [...document.getElementById(figure.dataset.table).tBodies[0].rows];
    if (rows.length < 2) return;
    figure.hidden = false;
    const byHour = figure.dataset.step === "hour";
    const at = (row) => byHour ? Date.parse(row.querySelector("time").dateTime) / 1000 : Number(row.querySelector("[data-day]").dataset.day);
    const keys = [...figure.querySelectorAll(".key li")];
    const times = rows.map(at);
    const numbers = keys.map((_, place) => rows.map((row) => Number(row.cells[place + 1].textContent.replaceAll(",", ""))));
    const plot = figure.querySelector(".plot");
    const when = figure.querySelector(".when");
    const series = keys.map((key, place) => ({
      width: 2, dash: dashes[place % dashes.length], points: { show: false },
      stroke: () => color(`--line-${place + 1}`),
      fill: keys.length === 1 ? () => color("--line-1") + "26" : undefined,
    }));
    const drawn = new uPlot({
      width: plot.clientWidth, height: 170, tzDate: byHour ? undefined : (seconds) => uPlot.tzDate(new Date(seconds * 1e3), "UTC"),
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
      scales: { y: { range: (_, low, high) => [0, Math.max(high * 1.08, 1)] } },
      axes: [
        axis({ size: 24, space: 60, values: (_, ats) => ats.map((seconds) => (byHour ? hours : days).format(seconds * 1000)) }),
        axis({ size: 48, space: 32, values: (_, values) => values.map((value) => Number.isInteger(value) ? short(value) : "") }),
      ],
      series: [{}, ...series],
      hooks: { setCursor: [(self) => {
        const index = self.cursor.idx;
        keys.forEach((key, place) => { key.querySelector("output").textContent = index == null ? "" : numbers[place][index].toLocaleString(); });
        when.textContent = index == null ? "\u00a0" : rows[index].cells[0].textContent;
      }] },
    }, [times, ...numbers], plot);
    for (const canvas of plot.querySelectorAll("canvas")) {
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", figure.getAttribute("aria-label"));
    }
    new ResizeObserver(() => drawn.setSize({ width: plot.clientWidth, height: 170 })).observe(plot);
    plots.push(drawn);
  }

  for (const figure of document.querySelectorAll("figure.chart")) draw(figure);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plots.forEach((plot) => plot.redraw(false, true)));
})();
