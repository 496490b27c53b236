// What makes the pages quicker to use. Everything works without it.
"use strict";

document.documentElement.classList.add("script");

const all = (selector, within = document) => [...within.querySelectorAll(selector)];

/** Shows on the button, and tells a screen reader, that it was done. */
function told(button, text) {
  const before = button.dataset.label ?? button.textContent;
  const said = document.querySelector("#said");
  button.dataset.label = before;
  button.textContent = said.textContent = text;
  setTimeout(() => { button.textContent = before; said.textContent = ""; }, 2000);
}

/** Copies a field or a text. Browsers give the clipboard to secure pages only. */
async function copy(button) {
  const source = document.querySelector(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.value ?? source.textContent);
    told(button, "Copied");
  } catch {
    if (source.select) source.select();
    else getSelection().selectAllChildren(source);
    told(button, document.execCommand("copy") ? "Copied" : "Press Ctrl+C");
  }
}

/** How many boxes are ticked, and whether that is all of them. */
function count(name) {
  const boxes = all(`input[type=checkbox][name="${name}"]`);
  const ticked = boxes.filter((box) => box.checked).length;
  all(`[data-count-of="${name}"]`).forEach((place) => { place.textContent = ticked; });
  all(`[data-check-all="${name}"]`).forEach((box) => {
    box.checked = ticked > 0 && ticked === boxes.length;
    box.indeterminate = ticked > 0 && ticked < boxes.length;
  });
  all(`[data-needs="${name}"]`).forEach((button) => { button.disabled = ticked === 0; });
}

/** Shows what a filter finds while it is typed, without taking the focus. */
function live(form) {
  const chosen = new Set();
  let waiting, loading;
  async function show() {
    const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
    const address = `${form.getAttribute("action")}?${query}`;
    loading?.abort();
    loading = new AbortController();
    try {
      const answer = await fetch(address, { signal: loading.signal });
      if (answer.redirected) return location.assign(answer.url);
      // Too many lists at once: what is shown stays until there is room.
      if (answer.status === 429) return soon();
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      // Each place stays, and what is in it is replaced: a screen reader listens to places.
      const places = all(form.dataset.live).map((place) => [place, page.getElementById(place.id)]);
      if (places.some(([, found]) => !found)) return location.assign(address);
      all("input[name=key]").forEach(({ checked, value }) => {
        if (checked) chosen.add(value);
        else chosen.delete(value);
      });
      places.forEach(([place, found]) => place.replaceChildren(...found.childNodes));
      all("input[name=key]").forEach((box) => { box.checked = chosen.has(box.value); });
      history.replaceState(null, "", address);
      count("key");
    } catch (error) {
      if (error.name !== "AbortError") location.assign(address);
    }
  }
  const soon = () => {
    clearTimeout(waiting);
    waiting = setTimeout(show, 150);
  };
  form.addEventListener("input", soon);
  form.addEventListener("change", soon);
}

/** Shows the page anew, and says that its visitor did not ask for it. */
function again() {
  const address = new URL(location.href);
  address.searchParams.set("again", "1");
  // With one it would only be scrolled.
  address.hash = "";
  location.replace(address);
}

/** Rows that a page keeps while it follows. */
const MAX_ROWS = 500;

/** Puts what happens now before the rows that are there; the oldest leave. */
async function follow(rows) {
  const address = new URL(rows.dataset.news, location.href);
  for (let failed = 0; failed < 5;) {
    try {
      const answer = await fetch(address);
      if (answer.status === 401) return location.reload();
      if (!answer.ok) throw new Error(answer.statusText);
      address.searchParams.set("after", answer.headers.get("x-octavia-through"));
      const table = `<table><tbody>${await answer.text()}</tbody></table>`;
      const page = new DOMParser().parseFromString(table, "text/html");
      rows.prepend(...all("tr", page));
      [...rows.rows].slice(MAX_ROWS).forEach((row) => row.remove());
      failed = 0;
    } catch {
      failed += 1;
      await new Promise((resume) => setTimeout(resume, 1000 * failed));
    }
  }
  document.querySelector("#live").textContent = "The sidecar does not answer any more. Reload the page.";
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copy(button);
});

/** Puts the date back that stood beside a choice which is not taken any more. */
function resetDate(choice) {
  if (choice.name !== "expires" || choice.type !== "radio" || choice.value === "date") return;
  all("[data-reset]", choice.form).forEach((date) => { date.value = date.dataset.reset; });
}

document.addEventListener("change", ({ target }) => {
  resetDate(target);
  const { checkAll, checks, submits } = target.dataset;
  if (checkAll) {
    all(`input[type=checkbox][name="${checkAll}"]`).forEach((box) => { box.checked = target.checked; });
  }
  if (checkAll || target.name === "key") count("key");
  if (checks) document.getElementById(checks).checked = true;
  if (submits) target.form.requestSubmit(target.form.querySelector(`button[name="${submits}"]`));
});

// A key's whole text does not belong into an address, pasted or typed: its id is enough.
document.addEventListener("formdata", ({ target, formData }) => {
  all("[data-no-secret]", target).forEach((field) => {
    const found = /octv_([0-9A-Za-z]{10})_/.exec(field.value);
    if (found) formData.set(field.name, found[1]);
  });
});

/** Tells before the session ends, so that nothing that was typed is lost. */
function watchSession(left) {
  const notice = document.querySelector("#ending");
  const look = async (path) => {
    const answer = await fetch(path).catch(() => null);
    if (!answer?.ok || answer.redirected) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    return Number(page.body.dataset.left);
  };
  const early = Math.min(120, left / 2);
  const wait = (seconds) => setTimeout(async () => {
    // Something may have been done in another window. Asking this is nothing that a visitor does.
    const now = await look("/simulate?again=1");
    if (now > early) wait(now - early);
    else if (now) notice.hidden = false;
  }, seconds * 1000);
  notice.querySelector("[data-stay]").addEventListener("click", async () => {
    const now = await look("/simulate");
    if (!now) return location.reload();
    notice.hidden = true;
    // When it has gone on for its longest time, it ends all the same.
    if (now > early) wait(now - early);
  });
  wait(left - early);
}

// A form that is under way is not sent twice.
document.addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  if (event.target.dataset.sent) event.preventDefault();
  event.target.dataset.sent = "yes";
  // Who has stopped it may send it again.
  setTimeout(() => { delete event.target.dataset.sent; }, 5000);
});
addEventListener("pageshow", () => {
  all("form[data-sent]").forEach((form) => { delete form.dataset.sent; });
  count("key");
});

if (document.body.dataset.left) watchSession(Number(document.body.dataset.left));
all("[data-reload]").forEach(() => setTimeout(again, 1000));
all("form[data-live]").forEach(live);
all("[data-news]").forEach(follow);

// Filters are folded where there is little room for them.
const narrow = matchMedia("(max-width: 64rem)");
const fold = () => all("details.more-filters").forEach((more) => { more.open = !narrow.matches; });
narrow.addEventListener("change", fold);
fold();
document.querySelector("#errors, #answer")?.focus();
