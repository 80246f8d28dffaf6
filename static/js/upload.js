// <form data-upload>: drag a file in, see every byte go. Without script the form is sent as any other.
import { refusal } from "./live.js";
import { announce } from "./toasts.js";

const units = [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"]];

function bytes(count) {
  const [size, unit] = units.find(([limit]) => count >= limit) ?? [1, "B"];
  return `${(count / size).toFixed(size === 1 || count / size >= 100 ? 0 : 1)}\u00a0${unit}`;
}

function span(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))}\u00a0s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}\u00a0min ${Math.round(seconds % 60)}\u00a0s`;
  return `${Math.floor(seconds / 3600)}\u00a0h ${Math.round((seconds % 3600) / 60)}\u00a0min`;
}

// --- the drop zone
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    const zone = event.target.closest?.("[data-drop]");
    if (!zone) return;
    event.preventDefault();
    zone.classList.toggle("over", kind === "dragover");
    if (kind !== "drop" || !event.dataTransfer.files.length) return;
    const input = zone.querySelector("input[type=file]");
    const files = new DataTransfer();
    files.items.add(event.dataTransfer.files[0]);
    input.files = files.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
}

document.addEventListener("change", (event) => {
  const zone = event.target.closest("[data-drop]");
  if (!zone || event.target.type !== "file") return;
  const file = event.target.files[0];
  const limit = Number(zone.dataset.limit || 0);
  const tooLarge = file && limit && file.size > limit;
  event.target.setCustomValidity(tooLarge ? `This file has ${bytes(file.size)}; the limit is ${bytes(limit)}.` : "");
  if (tooLarge) event.target.reportValidity();
  else if (file) announce(`${file.name}, ${bytes(file.size)}, chosen.`);
});

// --- sending
document.addEventListener("submit", (event) => {
  const form = event.target;
  const chosen = [...form.querySelectorAll("input[type=file]")].find((input) => input.files.length);
  if (!form.matches("[data-upload]") || !chosen || event.defaultPrevented) return;
  event.preventDefault();
  send(form, chosen.files[0], new FormData(form, event.submitter));
});

function send(form, file, body) {
  const panel = form.querySelector("[data-upload-progress]");
  const part = (name) => panel.querySelector(`[data-upload-${name}]`);
  const bar = panel.querySelector("progress");
  const xhr = new XMLHttpRequest();
  const began = performance.now();
  let seen = [[began, 0]];
  let spoken = 0;

  const finish = () => {
    form.classList.remove("sending");
    panel.hidden = true;
    removeEventListener("beforeunload", warn);
  };
  const warn = (leaving) => leaving.preventDefault();
  const fail = (words) => { finish(); complain(form, words); };

  form.classList.add("sending");
  form.querySelector("[data-upload-problem]")?.remove();
  panel.hidden = false;
  part("name").textContent = `Sending ${file.name}`;
  part("cancel").onclick = () => xhr.abort();
  addEventListener("beforeunload", warn);

  xhr.upload.addEventListener("progress", (event) => {
    const now = performance.now();
    seen.push([now, event.loaded]);
    seen = seen.filter(([at]) => now - at < 4000 || at === began); // the pace of the last seconds
    const [from, before] = seen[seen.length > 2 ? 1 : 0];
    const pace = now > from ? (event.loaded - before) / ((now - from) / 1000) : 0;
    const share = event.total ? (100 * event.loaded) / event.total : 0;
    bar.value = share;
    part("percent").textContent = `${Math.floor(share)}\u00a0%`;
    part("bytes").textContent = `${bytes(event.loaded)} of ${bytes(event.total)}`;
    part("rate").textContent = pace ? `${bytes(pace)}/s` : "";
    part("eta").textContent = pace && event.loaded < event.total ? `${span((event.total - event.loaded) / pace)} left` : "";
    if (share >= spoken + 25) {
      spoken = Math.floor(share / 25) * 25;
      part("status").textContent = `${spoken} percent sent`;
    }
  });
  xhr.upload.addEventListener("load", () => {
    part("name").textContent = `${file.name} has arrived; saving it`;
    part("rate").textContent = part("eta").textContent = "";
    bar.removeAttribute("value");
  });
  xhr.addEventListener("load", () => {
    if (xhr.status >= 400) { fail(refusal(xhr)); return; }
    removeEventListener("beforeunload", warn);
    const next = xhr.getResponseHeader("X-Location") ?? (xhr.status === 201 || xhr.status === 202 ? xhr.getResponseHeader("Location") : null);
    if (next) location.assign(next);
    else if (xhr.responseURL && xhr.responseURL.split("#")[0] !== form.action.split("#")[0]) location.assign(xhr.responseURL);
    else fail(refusal(xhr)); // the form again, with its errors
  });
  xhr.addEventListener("error", () => fail("The connection broke before the file was complete. Nothing was saved; send it again."));
  xhr.addEventListener("abort", () => { finish(); announce("Upload canceled. Nothing was saved."); });
  xhr.open("POST", form.action);
  xhr.setRequestHeader("X-Requested-With", "upload");
  xhr.send(body);
}

function complain(form, words) {
  const box = document.createElement("div");
  box.className = "problem";
  box.dataset.tone = "bad";
  box.dataset.uploadProblem = "";
  box.setAttribute("role", "alert");
  const inner = document.createElement("div");
  const title = document.createElement("h2");
  title.textContent = "The file was not taken";
  const text = document.createElement("p");
  text.textContent = words;
  inner.append(title, text);
  box.append(inner);
  form.prepend(box);
  box.scrollIntoView({ block: "nearest" });
}
