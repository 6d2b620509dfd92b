// Keys. Each has a link or a button that does the same, and none is heard while somebody types.
"use strict";
(() => {
  const places = { o: "/", s: "/sagas", f: "/failures", d: "/dead-letters", t: "/timers", w: "/workers" };
  let going = false;
  let at = -1;
  let anchor = -1;
  const rows = () => [...document.querySelectorAll("tbody tr")].filter((row) => row.querySelector("a.id"));
  const typing = (target) => target.matches("input:not([type=checkbox]), textarea, select, [contenteditable]");
  const move = (step) => {
    const all = rows();
    if (!all.length) return;
    all.forEach((row) => row.classList.remove("at"));
    at = Math.min(all.length - 1, Math.max(0, at + step));
    all[at].classList.add("at");
    all[at].querySelector("a.id").focus({ preventScroll: true });
    all[at].scrollIntoView({ block: "nearest" });
  };
  const box = (index) => rows()[index]?.querySelector("input[data-row]");
  const choose = () => {
    if (!box(at)) return;
    box(at).checked = !box(at).checked;
    anchor = at;
    document.dispatchEvent(new Event("saga:chosen"));
  };
  const chooseTo = () => {
    if (!box(at)) return;
    const [from, to] = [Math.min(anchor < 0 ? 0 : anchor, at), Math.max(anchor, at)];
    for (let index = from; index <= to; index += 1) if (box(index)) box(index).checked = true;
    document.dispatchEvent(new Event("saga:chosen"));
  };
  const openAll = () => {
    const all = [...document.querySelectorAll("main details")];
    const closed = all.some((one) => !one.open);
    all.forEach((one) => { one.open = closed; });
  };
  const keys = () => document.getElementById("keys")?.showModal();
  const find = () => (document.querySelector("main [data-find]") || document.querySelector("[data-find]"))?.focus();
  const acts = {
    "/": find, j: () => move(1), k: () => move(-1), x: choose, X: chooseTo, o: openAll, "?": keys,
    a: () => document.querySelector("[data-act-first]:not([hidden])")?.focus(),
    t: () => document.dispatchEvent(new Event("saga:theme")),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.key === "Escape" && typing(event.target)) { event.target.blur(); return; }
    if (typing(event.target)) return;
    if (going) {
      going = false;
      if (places[event.key]) { event.preventDefault(); location.assign(places[event.key]); }
      return;
    }
    if (event.key === "g") { going = true; setTimeout(() => { going = false; }, 1500); return; }
    if (acts[event.key]) { event.preventDefault(); acts[event.key](); }
  });
  document.addEventListener("click", (event) => { if (event.target.closest("[data-keys]")) keys(); });
})();
