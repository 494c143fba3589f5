// Draws the charts over time from the page's own table, so that chart and table cannot disagree.
"use strict";
(() => {
  const table = document.getElementById("hours-table");
  const rows = table ? [...table.tBodies[0].rows] : [];
  if (rows.length < 2) return;
  const times = rows.map((row) => Date.parse(row.querySelector("time").dateTime) / 1000);
  const column = (number) => rows.map((row) => Number(row.cells[number - 1].textContent.replaceAll(",", "")));
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const dashes = { line: [], dashed: [7, 3], dotted: [2, 3] };
  const short = (value) => value >= 1e6 ? `${value / 1e6}M` : value >= 1e4 ? `${value / 1e3}k` : value.toLocaleString("en");
  const weekday = new Intl.DateTimeFormat("en", { weekday: "short", day: "numeric", timeZone: "UTC" });
  const clock = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: "UTC" });
  const label = (at) => at % 86400 ? clock.format(at * 1000) : weekday.format(at * 1000).replace(/^(\d+) (\w+)$/, "$2 $1");
  const together = uPlot.sync("hours");
  const plots = [];

  const axis = (more) => ({
    stroke: () => color("--quiet"), font: "11px system-ui, sans-serif", ticks: { show: false },
    grid: { stroke: () => color("--rule"), width: 1 }, ...more,
  });

  function draw(figure) {
    const keys = [...figure.querySelectorAll(".key li")];
    const plot = figure.querySelector(".plot");
    const series = keys.map((key, place) => ({
      label: key.textContent.trim(), width: 2, dash: dashes[key.dataset.kind], points: { show: false },
      stroke: () => color(`--line-${place + 1}`),
      fill: keys.length === 1 ? () => color(`--line-${place + 1}`) + "26" : undefined,
    }));
    const numbers = keys.map((key) => column(Number(key.dataset.column)));
    const show = (index) => keys.forEach((key, place) => {
      key.querySelector("output").textContent = index == null ? "" : numbers[place][index].toLocaleString("en");
    });
    const caption = figure.querySelector("figcaption");
    const when = caption.appendChild(document.createElement("span"));
    when.className = "unit when";
    plot.replaceChildren();
    const drawn = new uPlot({
      width: plot.clientWidth, height: 150, tzDate: (at) => uPlot.tzDate(new Date(at * 1e3), "UTC"),
      legend: { show: false },
      cursor: { y: false, drag: { x: true, y: false }, sync: { key: together.key }, points: { size: 7 } },
      scales: { y: { range: (_, low, high) => [0, Math.max(high * 1.08, 1)] } },
      axes: [
        axis({ size: 24, space: 52, values: (_, ats) => ats.map(label) }),
        axis({ size: 44, space: 32, values: (_, values) => values.map((value) => Number.isInteger(value) ? short(value) : "") }),
      ],
      series: [{}, ...series],
      hooks: { setCursor: [(self) => {
        show(self.cursor.idx);
        when.textContent = self.cursor.idx == null ? "" : " · " + rows[self.cursor.idx].cells[0].textContent;
      }] },
    }, [times, ...numbers], plot);
    plot.querySelectorAll("canvas").forEach((canvas) => {
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", figure.getAttribute("aria-label"));
    });
    new ResizeObserver(() => drawn.setSize({ width: plot.clientWidth, height: 150 })).observe(plot);
    plots.push(drawn);
  }

  document.querySelectorAll("figure.chart").forEach(draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plots.forEach((plot) => plot.redraw(false, true)));
})();
