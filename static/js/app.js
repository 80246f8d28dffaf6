// Everything here improves pages that already work without it.
import "./theme.js";
import "./menus.js";
import "./copy.js";
import "./times.js";
import "./toasts.js";
import "./live.js";
import "./upload.js";
import "./charts.js";
