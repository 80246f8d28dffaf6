// Times in the viewer's zone; "12 minutes ago" stays true. Without script they are UTC; the tooltip always is.
const steps = [[60, 1, "second"], [3600, 60, "minute"], [86400, 3600, "hour"], [604800, 86400, "day"]];

function dayOf(at) {
  const year = at.getFullYear() === new Date().getFullYear() ? undefined : "numeric";
  return new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year }).format(at);
}

function ago(at) {
  const seconds = (Date.now() - at) / 1000;
  const span = Math.abs(seconds);
  if (span < 5) return "just now";
  const step = steps.find(([limit]) => span < limit);
  if (!step) return `on ${dayOf(at)}`;
  const count = Math.floor(span / step[1]);
  const words = `${count} ${step[2]}${count === 1 ? "" : "s"}`;
  return seconds > 0 ? `${words} ago` : `in ${words}`;
}

function clock(at) {
  const time = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" }).format(at);
  return at.toDateString() === new Date().toDateString() ? time : `${dayOf(at)}, ${time}`;
}

const forms = { ago, clock, day: dayOf };

export function localise(root = document) {
  for (const time of root.querySelectorAll("time[data-time]")) {
    const text = forms[time.dataset.time]?.(new Date(time.dateTime));
    if (text && text !== time.textContent) time.textContent = text;
  }
}

localise();
setInterval(localise, 20000);
document.addEventListener("htmx:afterSwap", (event) => localise(event.detail.target?.parentElement ?? document));
