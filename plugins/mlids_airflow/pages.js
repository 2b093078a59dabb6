"use strict";
(() => {
  const root = document.documentElement;
  const framed = parent !== window;
  const airflow = () => {
    try { return framed ? parent.document.documentElement : null; } catch { return null; }
  };
  const follow = () => {
    const outer = airflow();
    const chosen = outer ? (outer.classList.contains("dark") ? "dark" : "light") : localStorage.getItem("theme");
    root.style.colorScheme = chosen === "dark" || chosen === "light" ? chosen : "";
  };
  follow();
  addEventListener("storage", follow);
  const outer = airflow();
  if (outer) new MutationObserver(follow).observe(outer, { attributes: true, attributeFilter: ["class"] });

  const load = async (part) => {
    try {
      const answer = await fetch(part.dataset.load, { credentials: "same-origin" });
      if (!answer.ok) throw new Error(answer.status);
      part.innerHTML = await answer.text();
    } catch {
      part.querySelector("[role=status]").textContent = "It could not be loaded. ";
    }
    part.removeAttribute("aria-busy");
  };
  addEventListener("DOMContentLoaded", () => {
    for (const part of document.querySelectorAll("[data-load]")) load(part);
    if (!framed) for (const link of document.querySelectorAll("[data-outside]")) link.hidden = false;
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[target=_blank]");
    if (!link || !framed) return;
    event.preventDefault(); // Airflow's frame opens no tabs itself
    parent.open(link.href, "_blank", "noopener");
  });
  document.addEventListener("keydown", (event) => {
    const search = document.querySelector("input[type=search]");
    if (event.key !== "/" || !search || event.target.closest("input, textarea, select")) return;
    event.preventDefault();
    search.focus();
  });
})();
