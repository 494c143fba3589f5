"use strict";
// What pages gain by scripts. Without them every page still works: times are in UTC, and more is a link.
(() => {
  const styles = {
    full: { dateStyle: "medium", timeStyle: "medium" },
    short: { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" },
    day: { dateStyle: "medium" },
    clock: { timeStyle: "medium" },
  };
  const units = [["year", 31557600], ["month", 2629800], ["day", 86400], ["hour", 3600], ["minute", 60]];

  function ago(then) {
    const seconds = (then.getTime() - Date.now()) / 1000;
    const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
    for (const [unit, size] of units) {
      if (Math.abs(seconds) >= size) return relative.format(Math.round(seconds / size), unit);
    }
    return relative.format(Math.round(seconds), "second");
  }

  // Moments in the reader's time zone, money as the reader writes it.
  function localise(root) {
    for (const time of root.querySelectorAll("time[datetime]:not([data-told])")) {
      const then = new Date(time.dateTime);
      if (Number.isNaN(then.getTime())) continue;
      const style = time.dataset.style || "full";
      const full = new Intl.DateTimeFormat(undefined, styles.full).format(then);
      time.title = `${full} · ${time.textContent}`;
      time.textContent = style === "ago" ? ago(then) : new Intl.DateTimeFormat(undefined, styles[style] || styles.full).format(then);
      time.dataset.told = "";
    }
    for (const money of root.querySelectorAll("data.money:not([data-told])")) {
      const decimals = Number(money.dataset.decimals);
      try {
        money.textContent = new Intl.NumberFormat(undefined, {
          style: "currency", currency: money.dataset.currency,
          minimumFractionDigits: decimals, maximumFractionDigits: decimals,
        }).format(money.value);
        money.dataset.told = "";
      } catch { /* A currency that this browser does not know stays as the server wrote it. */ }
    }
  }

  function say(sentence) {
    const told = document.getElementById("told");
    told.textContent = sentence;
    clearTimeout(say.timer);
    say.timer = setTimeout(() => { told.textContent = ""; }, 8000);
  }

  async function copy(button) {
    const text = button.closest(".copyable").querySelector("code").textContent;
    try {
      await navigator.clipboard.writeText(text);
      say("Copied.");
    } catch {
      getSelection().selectAllChildren(button.closest(".copyable").querySelector("code"));
      say("Selected: copy it with the keyboard.");
    }
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
    for (const open of document.querySelectorAll("details.who[open]")) {
      if (!open.contains(event.target)) open.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") for (const open of document.querySelectorAll("details.who[open]")) open.open = false;
  });
  document.addEventListener("htmx:error", () => {
    say("The server could not be reached. What you see stays; try again in a moment.");
  });
  // Whatever comes into the page later is made ready as the page was.
  const ready = [localise];
  window.workevoConsole = { ready: (make) => { ready.push(make); make(document); }, say };
  localise(document);
  new MutationObserver((changes) => {
    if (changes.some((change) => change.addedNodes.length)) for (const make of ready) make(document);
  }).observe(document.getElementById("main"), { childList: true, subtree: true });
})();
