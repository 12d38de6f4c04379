// What htmx does not do itself: when to ask for the live part, the notice that a page is not up to
// date, what a person has chosen or unfolded in a live part, and a log that is followed.
"use strict";

// While a page is visible, the platform says when something has changed. Without that word the live
// part is asked for every two seconds; with it, once a minute for what time alone changes. A hidden
// page asks for nothing, and keeps no connection: a browser has six of them for a server.
const OFTEN_MS = 2000, SELDOM_MS = 60000, GAP_MS = 1000;
const isLive = document.getElementById("live") !== null;
let news = null, listenedAt = 0, refreshedAt = Date.now(), due = null;

function refresh() {
  if (due !== null || document.hidden) return;
  due = setTimeout(() => {
    due = null;
    refreshedAt = Date.now();
    htmx.trigger(document.body, "refresh");
  }, Math.max(0, refreshedAt + GAP_MS - Date.now()));
}

function listen() {
  if (news !== null && news.readyState !== EventSource.CLOSED) return;
  listenedAt = Date.now();
  news = new EventSource(document.body.dataset.news);
  news.onopen = refresh;
  news.onmessage = refresh;
  news.addEventListener("end", () => { news.close(); listenedAt = 0; });
}

function look() {
  if (document.hidden) return;
  const isListening = news !== null && news.readyState === EventSource.OPEN;
  if (!isListening && Date.now() - listenedAt >= SELDOM_MS) listen();
  if (Date.now() - refreshedAt >= (isListening ? SELDOM_MS : OFTEN_MS)) refresh();
}

if (isLive) {
  look();
  setInterval(look, 1000);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && news !== null) {
      news.close();
      listenedAt = 0;
    }
    if (!document.hidden) {
      listen();
      refresh();
    }
  });
}

const stale = document.getElementById("stale");

for (const failed of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) {
  document.body.addEventListener(failed, () => { stale.hidden = false; });
}
document.body.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.successful || event.detail.xhr.status === 304) stale.hidden = true;
});

// A live part that is replaced keeps what was chosen and unfolded in it, by their ids.
let kept = [];
document.body.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target.id !== "live") return;
  kept = Array.from(document.querySelectorAll("#live [id]"), (each) =>
    each.checked ? [each.id, "checked"] : each.open ? [each.id, "open"] : null).filter(Boolean);
});
document.body.addEventListener("htmx:afterSettle", () => {
  for (const [id, property] of kept) {
    const found = document.getElementById(id);
    if (found) found[property] = true;
  }
  kept = [];
});

// A log: shown from its end on, and followed while it grows.
const MOST_LETTERS = 500000;
const form = document.querySelector("[data-log]");
let reading = null;

async function follow() {
  if (reading) reading.abort();
  const own = reading = new AbortController();
  const lines = document.querySelector("[data-log-lines]");
  const state = document.querySelector("[data-log-state]");
  const wanted = new URLSearchParams(new FormData(form));
  if (!wanted.get("grep")) wanted.delete("grep");
  wanted.set("tail", "1000");
  wanted.set("follow", "true");
  lines.textContent = "";
  lines.hidden = true;
  state.textContent = "Reading …";
  try {
    const answer = await fetch(`${form.action}?${wanted}`, { signal: own.signal });
    const missing = answer.headers.get("X-Logs-Missing-Detail");
    if (missing) {
      state.textContent = missing;
      return;
    }
    if (!answer.ok) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      state.textContent = page.querySelector("main p:not([hidden])")?.textContent || "It cannot be read.";
      return;
    }
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (own.signal.aborted) return;
      if (done) break;
      if (!value) continue;
      const atEnd = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 40;
      lines.hidden = false;
      state.textContent = "Live.";
      lines.append(value);
      if (lines.textContent.length > MOST_LETTERS) {
        lines.textContent = lines.textContent.slice(-MOST_LETTERS / 2);
      }
      if (atEnd) lines.scrollTop = lines.scrollHeight;
    }
    state.textContent = lines.hidden ? "It has written nothing." : "This is its end.";
  } catch (error) {
    if (error.name !== "AbortError") state.textContent = "The log has broken off.";
  }
}

if (form) {
  form.addEventListener("submit", (event) => {
    if (event.submitter && event.submitter.hasAttribute("formaction")) return;
    event.preventDefault();
    follow();
  });
  for (const each of form.querySelectorAll("select")) each.addEventListener("change", follow);
  follow();
}

// A file whose text goes into a field of the form.
for (const chosen of document.querySelectorAll("[data-into]")) {
  chosen.closest("[data-needs-script]").hidden = false;
  chosen.addEventListener("change", async () => {
    if (!chosen.files.length) return;
    const field = document.getElementById(chosen.dataset.into);
    field.value = await chosen.files[0].text();
    field.dispatchEvent(new Event("input", { bubbles: true }));
  });
}
