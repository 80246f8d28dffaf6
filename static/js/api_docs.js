// Start the API reference. A file of its own, because inline script is not allowed here.
const place = document.getElementById("reference");
const cookie = (name) => document.cookie.split("; ").find((part) => part.startsWith(`${name}=`))?.split("=")[1];
window.SwaggerUIBundle({
  url: place.dataset.schema,
  domNode: place,
  deepLinking: false, // its links would stand inside the buttons that open an operation
  syntaxHighlight: false, // its colours are for one theme only
  defaultModelsExpandDepth: -1,
  docExpansion: "list",
  persistAuthorization: false,
  requestInterceptor: (request) => {
    const token = cookie("aisle_csrf") ?? cookie("__Host-aisle_csrf");
    if (token) request.headers["X-CSRFToken"] = token;
    return request;
  },
});
