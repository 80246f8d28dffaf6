// Short messages at the bottom, and words for screen readers only.
const box = () => document.getElementById("toasts");

export function announce(text) {
  const place = document.getElementById("announcer");
  if (place) place.textContent = text;
}

export function toast(text, tone = "bad") {
  const item = document.createElement("div");
  item.className = "toast";
  item.dataset.tone = tone;
  const words = document.createElement("span");
  words.textContent = text;
  const close = document.createElement("button");
  close.type = "button";
  close.className = "btn quiet icon";
  close.dataset.dismiss = "";
  close.setAttribute("aria-label", "Close this message");
  close.textContent = "×";
  item.append(words, close);
  box()?.append(item);
  fade(item);
}

// Good news goes by itself, unless somebody reads it just then; bad news stays until it is closed.
function fade(item) {
  if (item.dataset.tone === "bad" || item.dataset.tone === "warn") return;
  setTimeout(() => {
    if (item.matches(":hover, :focus-within")) fade(item);
    else item.remove();
  }, 8000);
}

document.addEventListener("click", (event) => event.target.closest("[data-dismiss]")?.closest(".toast").remove());
for (const item of document.querySelectorAll(".toast")) fade(item);
