"use strict";
// An image is asked for when somebody clicks, and never before: its button becomes a frame of our own small page,
// whose policy allows that one image, so that the page around it may go on calling nobody. A frame shows no refusal:
// whether there is a page to show is asked first.
(() => {
  function framed(link) {
    const frame = document.createElement("iframe");
    frame.className = "picture";
    frame.title = link.dataset.picture;
    frame.referrerPolicy = "no-referrer";
    frame.setAttribute("sandbox", "");
    frame.src = link.href;
    return frame;
  }

  function refused(link, hasEnded) {
    const told = document.createElement("p");
    told.className = "refused";
    told.setAttribute("role", "alert");
    told.textContent = hasEnded ? "Your session has ended. " : "The image cannot be shown just now. Reload the page to try again.";
    if (hasEnded) {
      const way = document.createElement("a");
      const here = location.pathname + location.search;
      way.href = `${new URL("sign-in", link.href)}?next=${encodeURIComponent(here)}`;
      way.textContent = "Sign in again";
      told.append(way);
    }
    return told;
  }

  async function shown(link) {
    try {
      const answer = await fetch(link.href, { headers: { "hx-request": "true" } });
      return answer.ok ? framed(link) : refused(link, answer.status === 401);
    } catch {
      return refused(link, false);
    }
  }

  document.addEventListener("click", async (event) => {
    const link = event.target.closest("a[data-picture]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    link.replaceWith(await shown(link));
  });
})();

// What hovering or focus shows goes away on Escape, until the pointer comes back.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const row of document.querySelectorAll(".summaries li:hover, .summaries li:focus-within")) {
    row.classList.add("hushed");
    for (const end of ["pointerleave", "focusout"]) row.addEventListener(end, () => row.classList.remove("hushed"), { once: true });
  }
});
