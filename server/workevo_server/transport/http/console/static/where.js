"use strict";
// A time is meant in the reader's own time zone where a script can say which that is; else it is UTC.
(() => {
  const form = document.getElementById("where-person");
  const at = form.querySelector("[name=at]");
  const zone = form.querySelector("[name=zone]");
  const told = () => { zone.value = at.value ? String(new Date(at.value).getTimezoneOffset()) : ""; };
  if (at.value && zone.value === "") {
    // It was asked for in UTC: write the same moment as the reader's clock shows it.
    const then = new Date(`${at.value.replace(" ", "T")}Z`);
    if (!Number.isNaN(then.getTime())) {
      then.setMinutes(then.getMinutes() - then.getTimezoneOffset());
      at.value = then.toISOString().slice(0, 16);
    }
  }
  form.querySelector("[data-zone]").textContent = "in your time zone";
  at.type = "datetime-local";
  form.addEventListener("submit", told);
})();
