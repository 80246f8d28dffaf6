// Light, dark or the system's: remembered in a cookie, by which the server renders it without a flash, and in localStorage.
const KEY = "aisle_theme";
const root = document.documentElement;

function apply(theme) {
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  else delete root.dataset.theme;
  for (const button of document.querySelectorAll("[data-theme-form] button[name=theme]")) {
    button.setAttribute("aria-pressed", String(button.value === theme));
  }
}

function remember(theme) {
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `${KEY}=${theme}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
  try { localStorage.setItem(KEY, theme); } catch { /* storage is closed: the cookie is enough */ }
}

function remembered() {
  try { return localStorage.getItem(KEY); } catch { return null; }
}

document.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-theme-form]") || !event.submitter) return;
  event.preventDefault();
  apply(event.submitter.value);
  remember(event.submitter.value);
});

// Another tab changed it, or the cookie was lost while the storage was not.
addEventListener("storage", (event) => { if (event.key === KEY && event.newValue) apply(event.newValue); });
const kept = remembered();
if (kept && !document.cookie.includes(`${KEY}=`) && kept !== (root.dataset.theme ?? "system")) { apply(kept); remember(kept); }
