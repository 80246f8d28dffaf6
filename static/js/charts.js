// Draws <figure data-chart>: Plotly figures whose colours are names of tokens, so that they follow the theme.
// Plotly is loaded only when a page has a chart. A polled chart keeps its canvas (hx-preserve) and moves instead of flickering.
let loading = null;

// Plotly carries a map library that writes a <style> when it loads, unless an element with this id is there. The
// Content-Security-Policy refuses such a style, and no chart here is a map. A test watches for refusals after an upgrade.
const MAP_STYLES = "9f215cf04c5486422605d13261cb87401f4e7763b6296af81e98efbc0130da53";

function plotly() {
  loading ??= new Promise((resolve, reject) => {
    const mark = document.createElement("meta");
    mark.id = MAP_STYLES;
    document.head.append(mark);
    const script = document.createElement("script");
    script.src = document.querySelector("meta[name=plotly]").content;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => { loading = null; reject(new Error("Plotly did not load")); };
    document.head.append(script);
  });
  return loading;
}

// --- tokens: "--stable" or "--canary 18%" (opacity) anywhere in a figure becomes the colour of the present theme
const probe = document.createElement("span");
probe.hidden = true;
document.documentElement.append(probe);

function colour(token) {
  const [, name, opacity] = /^(--[\w-]+)(?:\s+([\d.]+)%)?$/.exec(token);
  probe.style.color = "";
  probe.style.color = `var(${name})`;
  const found = getComputedStyle(probe).color;
  if (!opacity) return found;
  const [red, green, blue] = found.match(/[\d.]+/g);
  return `rgba(${red}, ${green}, ${blue}, ${opacity / 100})`;
}

// Plotly knows no zones: a time with one is written in the viewer's, as the times around the chart are.
function local(time) {
  const at = new Date(time);
  return new Date(at - at.getTimezoneOffset() * 60000).toISOString().slice(0, 23);
}

function painted(value) {
  if (typeof value === "string") {
    if (/^--[\w-]+(\s+[\d.]+%)?$/.test(value)) return colour(value);
    return /^\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)$/.test(value) ? local(value) : value;
  }
  if (Array.isArray(value)) return value.map(painted);
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, painted(item)]));
  return value;
}

// --- what every chart looks like, unless its figure says otherwise
const axis = {
  automargin: true, gridcolor: "--line", linecolor: "--line-strong", zerolinecolor: "--line-strong", tickcolor: "--line-strong",
  title: { font: { size: 12, color: "--ink-muted" }, standoff: 10 }, tickfont: { size: 11.5, color: "--ink-muted" }, fixedrange: true,
};
const isTimes = (traces) => traces.some((trace) => typeof trace.x?.[0] === "string" && /^\d{4}-\d\d-\d\d/.test(trace.x[0]));
// A few bars stay bars instead of becoming walls.
const gapOf = (traces) => {
  const most = Math.max(0, ...traces.map((trace) => (trace.orientation === "h" ? 0 : trace.x?.length ?? 0)));
  return most === 0 || most > 8 ? 0.25 : most > 3 ? 0.4 : 0.7;
};

// Names below a bar break into lines instead of leaning over.
function named(traces, width) {
  const names = [...new Set(traces.filter((trace) => trace.type === "bar" && trace.orientation !== "h").flatMap((trace) => trace.x ?? []))];
  if (!names.length || names.length > 12 || names.some((name) => typeof name !== "string" || /^\d/.test(name))) return {};
  const most = Math.max(6, Math.floor((width - 60) / names.length / 7));
  const broken = names.map((name) => name.split(" ").reduce((lines, word) => {
    const last = lines.at(-1);
    if (last !== undefined && `${last} ${word}`.length <= most) return [...lines.slice(0, -1), `${last} ${word}`];
    return [...lines, word];
  }, []).map((line) => line.slice(0, most + 4)).join("<br>"));
  return { tickvals: names, ticktext: broken, tickangle: 0 };
}

const look = (traces, width) => ({
  autosize: true, margin: { l: 8, r: 12, t: 8, b: 8 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
  colorway: ["--series-1", "--series-2", "--series-3", "--series-4", "--series-5", "--series-6"],
  font: { family: "Manrope, system-ui, sans-serif", size: 12, color: "--ink" }, bargap: gapOf(traces), hovermode: traces.some((trace) => (trace.mode ?? "").includes("lines")) ? "x unified" : "closest",
  hoverlabel: { bgcolor: "--raised", bordercolor: "--line-strong", font: { color: "--ink", family: "Manrope, system-ui, sans-serif" } },
  showlegend: traces.filter((trace) => trace.showlegend !== false && trace.hoverinfo !== "skip").length > 1,
  legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: 12, color: "--ink-muted" }, bgcolor: "rgba(0,0,0,0)" },
  xaxis: { ...axis, showgrid: false, hoverformat: isTimes(traces) ? "%-d %b, %H:%M" : ",.4~f", nticks: Math.max(3, Math.floor(width / 85)), ...named(traces, width) }, yaxis: { ...axis, zeroline: false, hoverformat: ",.4~f" }, separators: ".,", dragmode: false,
});

function merged(base, over) {
  if (!over || typeof over !== "object" || Array.isArray(over)) return over ?? base;
  const result = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const is = base?.[key] && typeof base[key] === "object" && !Array.isArray(base[key]);
    result[key] = is ? merged(base[key], typeof value === "string" && key === "title" ? { text: value } : value) : value;
  }
  return result;
}

async function draw(figure) {
  const canvas = figure.querySelector(".chart-canvas");
  const source = figure.querySelector("[data-figure]");
  if (!canvas || !source || !source.textContent.trim()) return;
  const { data = [], layout = {} } = JSON.parse(source.textContent);
  const library = await plotly();
  const height = Math.max(canvas.clientHeight, parseFloat(getComputedStyle(canvas).minHeight) || 240);
  await library.react(canvas, painted(data), painted(merged({ ...look(data, canvas.clientWidth), height }, layout)), { displayModeBar: false, responsive: true, displaylogo: false });
  figure.dataset.drawn = "1";
}

function drawAll(root = document) {
  const found = root.matches?.("[data-chart]") ? [root] : root.querySelectorAll("[data-chart]");
  for (const figure of found) draw(figure).catch((error) => console.error("chart", error));
}

drawAll();
document.addEventListener("htmx:afterSettle", (event) => drawAll(event.detail.elt?.isConnected ? event.detail.elt : document));
new MutationObserver(() => drawAll()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll());
document.addEventListener("toggle", (event) => { if (event.target.open && event.target.querySelector?.("[data-chart]")) drawAll(event.target); }, true);
