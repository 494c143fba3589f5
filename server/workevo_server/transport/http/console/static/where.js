"use strict";
// A time is meant in the reader's own time zone where a script can say which that is; else it is UTC. An address may
// come from a reader elsewhere: its time and zone together are one moment, which is written as this reader's clock has it.
(() => {
  const form = document.getElementById("where-person");
  const at = form.querySelector("[name=at]");
  const zone = form.querySelector("[name=zone]");
  const minute = 60000;
  const asUtc = (text) => new Date(`${text.replace(" ", "T")}${text.length > 10 ? "" : "T00:00"}Z`).getTime();

  const moment = new Date(asUtc(at.value) + Number(zone.value) * minute);
  let written = "";
  at.type = "datetime-local";
  if (!Number.isNaN(moment.getTime())) {
    if (moment.getTime() % minute) at.step = "1"; // Else seconds are asked of nobody.
    zone.value = String(moment.getTimezoneOffset());
    at.value = new Date(moment.getTime() - moment.getTimezoneOffset() * minute).toISOString().slice(0, 19).replace(/:00$/, "");
    written = at.value;
  }
  form.querySelector("[data-zone]").textContent = "in your time zone";
  form.addEventListener("submit", () => {
    // What stands as it was written keeps its zone: when clocks are set back a time comes twice.
    if (at.value !== written) zone.value = at.value ? String(new Date(at.value).getTimezoneOffset()) : "";
  });
})();
