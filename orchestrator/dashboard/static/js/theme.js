// The theme: the system's until somebody chooses one. Loaded before the page is drawn, so that it never flashes.
"use strict";
(() => {
  const root = document.documentElement;
  const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
  const themes = isDark ? ["", "light", "dark"] : ["", "dark", "light"]; // the first turn is always seen
  const use = (theme) => { if (theme) root.dataset.theme = theme; else delete root.dataset.theme; };
  const kept = () => { try { return localStorage.getItem("theme") || ""; } catch { return ""; } };
  const keep = (theme) => { try { localStorage.setItem("theme", theme); } catch { /* private windows keep nothing */ } };
  const turn = () => {
    const next = themes[(themes.indexOf(root.dataset.theme || "") + 1) % themes.length];
    use(next);
    keep(next);
  };
  use(themes.includes(kept()) ? kept() : "");
  document.addEventListener("click", (event) => { if (event.target.closest("[data-theme-switch]")) turn(); });
  document.addEventListener("saga:theme", turn);
})();
