// What a browser can't do without a script: taking pictures, and moving the sliders of a
// result. Everything that is shown is rendered by the service.
"use strict";

const address = (id, part) => "/history/" + encodeURIComponent(id) + "/" + part;

// fetchPart returns a rendered part of a page.
async function fetchPart(url, options = {}) {
  const answer = await fetch(url, { ...options, headers: { Accept: "text/html-fragment", ...options.headers } });
  if (!answer.ok) throw new Error("status " + answer.status);
  return answer.text();
}

// A result: the sliders, the list of regions and the mark.
function startViewer(viewer) {
  const id = viewer.dataset.id;
  const find = (selector) => viewer.querySelector(selector);
  const controls = find(".controls").elements;
  const heat = find(".heat"), marks = find(".marks"), list = find(".region-list");

  const opacity = () => {
    heat.style.opacity = controls.opacity.value / 100;
    find(".controls output").value = controls.opacity.value + "\u00a0%";
  };
  controls.opacity.addEventListener("input", opacity);
  opacity();
  controls.outlines.addEventListener("change", () => marks.toggleAttribute("hidden", !controls.outlines.checked));
  controls.peak.addEventListener("change", () => find(".peak").toggleAttribute("hidden", !controls.peak.checked));

  // Regions: one request at a time, and after it the latest threshold.
  let asked = controls.exact.value, shown = asked, busy = false;
  async function ask() {
    if (busy) return;
    busy = true;
    while (asked !== shown) {
      const threshold = asked;
      try {
        list.innerHTML = await fetchPart(address(id, "found") + "?threshold=" + encodeURIComponent(threshold));
        const outline = list.querySelector(".found").dataset.outline;
        find(".halo").setAttribute("d", outline);
        find(".line").setAttribute("d", outline);
        choose(null);
        viewer.dataset.threshold = threshold;
      } catch (error) {
        list.innerHTML = "";
        list.append("The regions could not be computed (" + error.message + ").");
      }
      shown = threshold;
    }
    busy = false;
  }
  function set(threshold, from) {
    if (!(threshold >= 0 && threshold <= 1)) return;
    asked = String(threshold);
    if (from !== controls.threshold) controls.threshold.value = asked;
    if (from !== controls.exact) controls.exact.value = asked;
    if (controls.own) controls.own.disabled = Number(controls.own.dataset.own) === Number(asked);
    ask();
  }
  controls.threshold.addEventListener("input", () => set(controls.threshold.valueAsNumber, controls.threshold));
  controls.exact.addEventListener("input", () => set(controls.exact.valueAsNumber, controls.exact));
  if (controls.own) controls.own.addEventListener("click", () => { set(Number(controls.own.dataset.own)); controls.threshold.focus(); });
  find(".controls").addEventListener("submit", (event) => event.preventDefault());

  // The region of the line that the mouse or the keyboard is on.
  function choose(row) { find(".chosen").setAttribute("d", row ? row.dataset.outline : ""); }
  for (const kind of ["mouseover", "focusin"]) list.addEventListener(kind, (event) => choose(event.target.closest("tr[data-outline]")));
  for (const kind of ["mouseleave", "focusout"]) list.addEventListener(kind, () => choose(null));

  viewer.addEventListener("submit", async (event) => {
    const form = event.target.closest(".mark");
    if (!form) return;
    event.preventDefault();
    const status = form.querySelector("[role=status]");
    try {
      const kept = await fetchPart(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
      form.outerHTML = kept;
      viewer.querySelector(".mark [role=status]").textContent ||= "Not marked any more";
      viewer.querySelector(".mark button").focus();
    } catch (error) {
      status.textContent = "It could not be saved (" + error.message + ").";
    }
  });
}

// The page that takes pictures.
function startIntake(form) {
  const input = form.querySelector("input[type=file]"), drop = form.querySelector(".drop");
  const queue = document.getElementById("queue"), tally = document.getElementById("tally");
  const place = document.getElementById("viewer"), work = document.getElementById("work");
  const waiting = [], counts = { OK: 0, NG: 0, done: 0, failed: 0, all: 0 };
  let running = 0, current = null, chosen = false;

  function tell() {
    const parts = [counts.done + " of " + counts.all];
    if (counts.NG) parts.push(counts.NG + " NG");
    if (counts.OK) parts.push(counts.OK + " OK");
    if (counts.failed) parts.push(counts.failed + " failed");
    tally.textContent = parts.join(" · ");
  }

  async function show(item) {
    current = item;
    for (const other of queue.querySelectorAll("[aria-current]")) other.removeAttribute("aria-current");
    item.button.setAttribute("aria-current", "true");
    try {
      const part = await fetchPart(address(item.id, "viewer"));
      if (current !== item) return;
      place.innerHTML = part;
      startViewer(place.querySelector(".viewer"));
    } catch (error) {
      place.textContent = "The result can’t be shown (" + error.message + ").";
    }
  }

  function add(file, name) {
    const line = document.getElementById("item").content.firstElementChild.cloneNode(true);
    const item = { file, name, detector: form.elements.detector.value, button: line.querySelector("button"), chip: line.querySelector(".chip"), note: line.querySelector("small") };
    line.querySelector("bdi").textContent = name;
    item.note.textContent = "waits";
    item.button.disabled = true;
    const image = line.querySelector("img");
    image.src = URL.createObjectURL(file);
    image.addEventListener("load", () => URL.revokeObjectURL(image.src), { once: true });
    image.addEventListener("error", () => image.remove(), { once: true }); // a browser shows no TIFF
    item.button.addEventListener("click", () => { chosen = true; show(item); });
    queue.append(line);
    waiting.push(item);
    counts.all++;
  }

  async function inspect(item) {
    const url = "/inspect?detector=" + encodeURIComponent(item.detector) + "&source=" + encodeURIComponent(item.name);
    for (;;) {
      item.note.textContent = "is inspected …";
      const answer = await fetch(url, { method: "POST", body: item.file, headers: { "Content-Type": "application/octet-stream" } });
      if (answer.status === 429) {
        item.note.textContent = "waits for the service";
        await new Promise((go) => setTimeout(go, 1000 * (Number(answer.headers.get("Retry-After")) || 1)));
        continue;
      }
      const told = await answer.json().catch(() => ({}));
      if (!answer.ok) throw new Error(told.detail || told.title || "status " + answer.status);
      return told;
    }
  }

  async function next() {
    if (running === 2 || waiting.length === 0) return;
    const item = waiting.shift();
    running++;
    try {
      const result = await inspect(item);
      item.id = result.id;
      item.button.disabled = false;
      item.note.textContent = item.detector + " · " + result.score.toFixed(4);
      item.chip.textContent = result.verdict || "–";
      if (result.verdict) { item.chip.classList.add(result.verdict); counts[result.verdict]++; }
      if (!current || (!chosen && counts.done === 0)) show(item);
    } catch (error) {
      item.note.textContent = error.message;
      item.chip.textContent = "failed";
      item.chip.classList.add("failed");
      counts.failed++;
    }
    running--;
    counts.done++;
    tell();
    next();
  }

  function take(files) {
    const pictures = [...files];
    if (pictures.length === 0) return;
    work.hidden = false;
    pictures.forEach((file, i) => add(file, file.name || "pasted " + (counts.all + i + 1)));
    tell();
    next();
    next();
  }

  form.addEventListener("submit", (event) => event.preventDefault());
  input.addEventListener("change", () => { take(input.files); input.value = ""; });
  // The whole page takes what is dropped: nobody aims, and a miss would open the picture.
  let over = 0;
  const mark = (by) => { over = by === 0 ? 0 : over + by; drop.classList.toggle("over", over > 0); };
  const holdsFiles = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
  addEventListener("dragenter", (event) => { if (holdsFiles(event)) { event.preventDefault(); mark(1); } });
  addEventListener("dragleave", (event) => { if (holdsFiles(event)) mark(-1); });
  addEventListener("dragover", (event) => { if (holdsFiles(event)) event.preventDefault(); });
  addEventListener("drop", (event) => { if (holdsFiles(event)) { event.preventDefault(); mark(0); take(event.dataTransfer.files); } });
  addEventListener("paste", (event) => take(event.clipboardData.files));
}

document.documentElement.classList.add("script");
const intake = document.getElementById("intake");
if (intake) startIntake(intake);
for (const viewer of document.querySelectorAll(".viewer")) startViewer(viewer);
