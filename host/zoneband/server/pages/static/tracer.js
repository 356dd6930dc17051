"use strict";
// All of the pages work without this. Here: the print button, and paths in the graph that are
// marked as soon as a box is pointed at, focused or chosen.

for (const button of document.querySelectorAll(".js-print")) {
  button.hidden = false;
  button.addEventListener("click", () => window.print());
}

const graph = document.querySelector(".js-graph");
if (graph) {
  const parts = [...graph.querySelectorAll("[data-of]")];
  const nodes = parts.filter((part) => part.classList.contains("node"));
  let kept = nodes.filter((node) => node.classList.contains("on")).pop() || null;

  const mark = (node) => {
    const path = node ? node.dataset.path.split(" ") : [];
    for (const part of parts) part.classList.toggle("on", path.includes(part.dataset.of));
    graph.classList.toggle("marked", Boolean(node));
  };
  // The one that is marked with the longest way is the one that was asked for.
  for (const node of nodes) {
    const on = node.classList.contains("on");
    if (on && node.dataset.path.split(" ").length > kept.dataset.path.split(" ").length) kept = node;
    node.addEventListener("mouseenter", () => mark(node));
    node.addEventListener("mouseleave", () => mark(kept));
    node.addEventListener("focus", () => mark(node));
    node.addEventListener("blur", () => mark(kept));
    node.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      kept = node === kept ? null : node;
      mark(kept);
    });
  }
  mark(kept);
}
