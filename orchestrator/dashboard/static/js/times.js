// Moments in the reader's own time (UTC stays in the title), ages and countdowns once a second. The server's text is
// UTC; what comes in later is changed before it is painted.
"use strict";
(() => {
  const two = (value) => String(value).padStart(2, "0");
  const age = (ms) => {
    const seconds = Math.max(0, Math.floor(ms / 1000));
    if (seconds < 60) return `${seconds} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
    if (seconds < 86400) return `${(seconds / 3600).toFixed(1)} h`;
    return `${Math.floor(seconds / 86400)} d`;
  };
  const clock = (at) => {
    const time = `${two(at.getHours())}:${two(at.getMinutes())}`;
    if (at.toDateString() === new Date().toDateString()) return `${time}:${two(at.getSeconds())}`;
    return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${time}`;
  };
  const words = (element) => {
    const at = new Date(element.dateTime);
    const left = at - Date.now();
    switch (element.dataset.as) {
      case "age": return age(-left);
      case "left": return left > 0 ? `in ${age(left)}` : "now";
      default: return clock(at);
    }
  };
  const show = (element) => {
    const text = words(element);
    if (element.textContent !== text) element.textContent = text;
  };
  const all = (selector) => document.querySelectorAll(selector).forEach(show);
  all("time[data-as]");
  new MutationObserver(() => all("time[data-as]")).observe(document.body, { childList: true, characterData: true, attributes: true, attributeFilter: ["datetime"], subtree: true });
  setInterval(() => all('time[data-as="age"], time[data-as="left"]'), 1000);
})();
