"use strict";
// An image is asked for when somebody clicks, and never before: its button becomes a frame of our own small page,
// whose policy allows that one image, so that the page around it may go on calling nobody.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-picture]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  const frame = document.createElement("iframe");
  frame.className = "picture";
  frame.title = link.dataset.picture;
  frame.referrerPolicy = "no-referrer";
  frame.setAttribute("sandbox", "");
  frame.src = link.href;
  link.replaceWith(frame);
});

// What hovering or focus shows goes away on Escape, until the pointer comes back.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const row of document.querySelectorAll(".summaries li:hover, .summaries li:focus-within")) {
    row.classList.add("hushed");
    for (const end of ["pointerleave", "focusout"]) row.addEventListener(end, () => row.classList.remove("hushed"), { once: true });
  }
});
