// Rows of a list that can be chosen: boxes, how many are chosen, and the bar that acts on them.
"use strict";
(() => {
  const boxes = () => [...document.querySelectorAll("input[data-row]")];
  const show = () => {
    const chosen = boxes().filter((box) => box.checked);
    boxes().forEach((box) => box.closest("tr")?.setAttribute("aria-selected", box.checked));
    document.querySelectorAll("[data-chosen-count]").forEach((place) => { place.textContent = chosen.length; });
    const every = document.querySelector("input[data-every]");
    const enough = chosen.length > 0 || Boolean(every?.checked);
    document.querySelectorAll("[data-needs-chosen]").forEach((button) => { button.disabled = !enough; });
    document.querySelectorAll("[data-chosen-bar]").forEach((bar) => { bar.hidden = !enough && !every; });
    const all = document.querySelector("input[data-rows-all]");
    if (all) {
      all.checked = chosen.length > 0 && chosen.length === boxes().length;
      all.indeterminate = chosen.length > 0 && !all.checked;
    }
  };
  document.addEventListener("change", (event) => {
    if (event.target.matches("input[data-rows-all]")) boxes().forEach((box) => { box.checked = event.target.checked; });
    if (event.target.matches("input[data-row], input[data-rows-all], input[data-every]")) show();
  });
  document.addEventListener("saga:chosen", show);
  document.addEventListener("htmx:sse:after:message", show);
  show();
})();
