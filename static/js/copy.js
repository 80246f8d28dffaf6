// Copy buttons: data-copy="text", or data-copy-from="selector" of a sibling.
import { announce } from "./toasts.js";

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy], [data-copy-from]");
  if (!button) return;
  const source = button.dataset.copyFrom && button.parentElement.querySelector(button.dataset.copyFrom);
  const text = source ? source.textContent : button.dataset.copy;
  const done = await write(text, source ?? button.parentElement.querySelector("code"));
  announce(done ? "Copied." : "Select the text and press Ctrl+C.");
  if (!done) return;
  const words = [...button.childNodes].find((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
  if (!words || button.dataset.copied) return;
  const before = words.data;
  button.dataset.copied = "1";
  words.data = "Copied";
  setTimeout(() => { words.data = before; delete button.dataset.copied; }, 1600);
});

async function write(text, visible) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // No clipboard without https: mark the text, so that one key press copies it.
    if (visible) getSelection().selectAllChildren(visible);
    return false;
  }
}
