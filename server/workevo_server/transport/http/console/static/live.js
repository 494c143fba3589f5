"use strict";
// Asks for what came since, unless somebody pauses or looks elsewhere. htmx' own conditions need eval, which our
// policy forbids, and this has to tell apart a server that is away from a session that has ended.
(() => {
  const list = document.getElementById("live");
  const state = document.getElementById("live-state");
  const button = document.getElementById("live-pause");
  const nothing = document.getElementById("live-nothing");
  const EVERY = 1500, SLOWEST = 30000, LINES_MAX = 300;
  let paused = false, wait = EVERY, timer = 0, asking = false;

  const lines = () => list.querySelectorAll(".live-line");
  function show(words) {
    state.textContent = paused ? "Paused" : words;
    state.classList.toggle("still", paused || words !== "Watching");
    nothing.hidden = lines().length > 0;
  }

  function take(text) {
    const came = document.createElement("template");
    came.innerHTML = text;
    const at = came.content.querySelector(".live-at");
    if (!at) throw new Error("no rows");
    if ("anew" in at.dataset) list.replaceChildren();
    else list.querySelector(".live-at").remove();
    // Several processes number what they tell each other a little differently: what is here is not shown twice.
    const known = new Set([...lines()].map((line) => line.dataset.key));
    for (const line of came.content.querySelectorAll(".live-line")) if (known.has(line.dataset.key)) line.remove();
    const focused = document.activeElement;
    list.prepend(came.content);
    for (const line of [...lines()].slice(LINES_MAX)) if (!line.contains(focused)) line.remove();
    for (const note of [...list.querySelectorAll(".live-left-out")].slice(1)) note.remove();
  }

  async function ask() {
    if (asking || paused || document.hidden) return;
    asking = true;
    const { number, began } = list.querySelector(".live-at").dataset;
    const after = Math.max(0, Number(number) - Number(list.dataset.overlap));
    try {
      const answer = await fetch(`${list.dataset.rows}&after=${after}&began=${began}`, { headers: { "hx-request": "true" }, signal: AbortSignal.timeout(20000) });
      if (answer.status === 401) { location.reload(); return; }
      if (!answer.ok) throw new Error(String(answer.status));
      const text = await answer.text();
      if (!paused) take(text);
      wait = EVERY;
      show("Watching");
    } catch {
      wait = Math.min(2 * wait, SLOWEST);
      show("The server does not answer; trying again");
    } finally {
      asking = false;
      timer = setTimeout(ask, wait);
    }
  }

  function again() {
    clearTimeout(timer);
    show("Watching");
    ask();
  }

  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    button.textContent = paused ? "Go on" : "Pause";
    button.setAttribute("aria-pressed", String(paused));
    again();
  });
  document.addEventListener("visibilitychange", again);
  show("Watching");
  timer = setTimeout(ask, EVERY);
})();
