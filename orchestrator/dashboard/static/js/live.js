// The dot that says whether the page is kept up to date, and the window's title. A beat comes every second or so; silence
// is said.
"use strict";
(() => {
  const dot = document.querySelector("[data-live]");
  if (!dot) return;
  const LOST_MS = 6000;
  const word = dot.querySelector("span");
  let heard = Date.now();
  const say = () => {
    const silent = Date.now() - heard;
    const lost = silent > LOST_MS && !document.hidden;
    dot.classList.toggle("lost", lost);
    const text = lost ? `Lost, ${Math.floor(silent / 1000)} s old` : "Live";
    if (word.textContent !== text) word.textContent = text;
  };
  const retitle = () => {
    const titled = document.querySelector("[data-title]");
    if (titled && document.title !== titled.dataset.title) document.title = titled.dataset.title;
  };
  const hear = () => { heard = Date.now(); say(); retitle(); };
  dot.addEventListener("beat", hear);
  document.addEventListener("htmx:sse:after:message", hear);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) heard = Date.now(); });
  setInterval(say, 1000);
})();
