// Fragments that refresh themselves: nobody loses the focus or an opened detail, changes of stage are announced
// politely, and a lost connection greys the figures, with their time, until it is back.
import { announce, toast } from "./toasts.js";

let lastGood = new Date();
let isLost = false;

const isPoll = (detail) => detail.requestConfig?.verb === "get" && !detail.requestConfig.triggeringEvent?.isTrusted;
const time = () => new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" }).format(lastGood);

document.addEventListener("htmx:beforeRequest", (event) => {
  // Nobody looks at a hidden tab; the next tick after it is shown again refreshes it.
  if (document.hidden && event.detail.elt.matches("[data-live]")) event.preventDefault();
});

// --- what a swap must not take away
let kept = null;

document.addEventListener("htmx:beforeSwap", (event) => {
  const target = event.detail.target;
  if (!target?.matches?.("[data-live]")) return;
  const active = target.contains(document.activeElement) ? document.activeElement : null;
  if (active && active.matches("input:not([type=hidden]), select, textarea") && active.value !== active.defaultValue) {
    event.detail.shouldSwap = false; // somebody is typing here: keep what they wrote, refresh later
    return;
  }
  const chosen = getSelection();
  if (!chosen.isCollapsed && target.contains(chosen.anchorNode)) { event.detail.shouldSwap = false; return; }
  kept = {
    id: target.id,
    open: [...target.querySelectorAll("details[open]")].map(signature),
    focus: active && signature(active),
    said: words(target),
    scroll: [...target.querySelectorAll("[tabindex='0']")].filter((box) => box.scrollLeft || box.scrollTop).map((box) => [signature(box), box.scrollLeft, box.scrollTop]),
  };
});

document.addEventListener("htmx:afterSwap", () => {
  if (!kept) return;
  const { id, open, focus, said, scroll } = kept;
  kept = null;
  const now = document.getElementById(id);
  if (!now) return;
  for (const details of now.querySelectorAll("details")) if (open.includes(signature(details))) details.open = true;
  for (const [sign, left, top] of scroll) find(now, sign)?.scrollTo(left, top);
  if (focus && !now.contains(document.activeElement)) find(now, focus)?.focus({ preventScroll: true });
  const saying = words(now);
  if (saying && saying !== said) announce(saying);
});

// An element is the same after a swap when it has the same id, or the same words in the same kind of element.
const signature = (element) => element.id || `${element.tagName}:${(element.querySelector("summary") ?? element).textContent.trim().slice(0, 80)}`;
const find = (root, sign) => document.getElementById(sign) ?? [...root.querySelectorAll("a, button, summary, input, select, details, [tabindex='0']")].find((element) => signature(element) === sign);
const words = (root) => [...(root.matches("[data-announce]") ? [root] : []), ...root.querySelectorAll("[data-announce]")].map((element) => element.dataset.announce).filter(Boolean).join(". ");

// --- the connection
function lost() {
  const banner = document.getElementById("offline");
  if (banner) {
    banner.querySelector("[data-offline-text]").textContent = `Connection lost. Figures are as of ${time()}; trying again.`;
    banner.hidden = false;
  }
  for (const part of document.querySelectorAll("[data-live]")) part.classList.add("stale");
  isLost = true;
}

function back() {
  lastGood = new Date();
  if (!isLost) return;
  isLost = false;
  document.getElementById("offline").hidden = true;
  for (const part of document.querySelectorAll(".stale")) part.classList.remove("stale");
  announce("Connected again.");
}

document.addEventListener("htmx:sendError", lost);
document.addEventListener("htmx:timeout", lost);
document.addEventListener("htmx:afterOnLoad", (event) => { if (event.detail.xhr.status < 500) back(); });
document.addEventListener("htmx:responseError", (event) => {
  const { xhr, elt } = event.detail;
  if (xhr.status >= 500 && elt.matches("[data-live]")) { lost(); return; }
  if (xhr.status === 401 || (elt.matches("[data-live]") && xhr.status === 403)) { location.reload(); return; }
  toast(refusal(xhr));
});
addEventListener("offline", lost);

// The sentence of a refused request: from problem+json, or from the problem box of the page that came instead.
export function refusal(xhr) {
  const type = xhr.getResponseHeader("Content-Type") ?? "";
  try {
    if (type.includes("json")) return JSON.parse(xhr.responseText).detail;
    const page = new DOMParser().parseFromString(xhr.responseText, "text/html");
    const words = page.querySelector("[data-problem-detail], .field .error, main h1");
    if (words) return words.textContent.trim();
  } catch { /* not what it says it is: the plain words below */ }
  return `The server answered ${xhr.status}. Nothing else changed; try again.`;
}

// A signed-out session answers a poll with the sign-in page: go there instead of showing it inside a fragment.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target?.matches?.("[data-live]") && /^\s*<!doctype/i.test(event.detail.serverResponse ?? "")) {
    event.detail.shouldSwap = false;
    if (isPoll(event.detail)) location.reload();
  }
});
