// On a narrow page the rows of a list are cards: each cell gets the name of its column.
"use strict";
(function () {
  function label() {
    const names = Array.from(
      document.querySelectorAll("#result_list thead th"),
      (head) => (head.querySelector(".text") || head).textContent.trim(),
    );
    document.querySelectorAll("#result_list tbody tr").forEach((row) => {
      Array.from(row.cells).forEach((cell, at) => {
        if (names[at] && !cell.classList.contains("action-checkbox")) {
          cell.dataset.label = names[at];
        }
      });
    });
  }
  document.addEventListener("DOMContentLoaded", label);
})();
