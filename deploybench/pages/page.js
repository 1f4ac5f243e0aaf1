/* What all parts of the page use: its data, its colours, and the clipboard. */
const pageData = JSON.parse(await dataText(document.getElementById("page-data")));

/** The data as they stand there, or unpacked where there are very many. */
async function dataText(node) {
  if (node.type === "application/json") return node.textContent;
  const bytes = Uint8Array.from(atob(node.textContent), (letter) => letter.charCodeAt(0));
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(unpacked).text();
}

/** An element with attributes and children; words are text and nothing else. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/* --- colours: as the system has them, light, or dark --- */
const THEME_KEY = "deploybench-theme";
const themeListeners = [];

function remembered() {
  try { return localStorage.getItem(THEME_KEY) || "auto"; } catch { return "auto"; }
}

function setTheme(choice) {
  if (choice === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = choice;
  try { localStorage.setItem(THEME_KEY, choice); } catch { /* a page that may keep nothing */ }
  for (const button of document.querySelectorAll("[data-theme-choice]")) {
    button.setAttribute("aria-pressed", String(button.dataset.themeChoice === choice));
  }
  for (const listener of themeListeners) listener();
}

for (const button of document.querySelectorAll("[data-theme-choice]")) {
  button.addEventListener("click", () => setTheme(button.dataset.themeChoice));
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const listener of themeListeners) listener();
});

/* --- the clipboard --- */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = element("textarea", { "aria-hidden": "true", style: "position:fixed;top:-100vh" });
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/** Copy, and say so on the button for a moment. */
async function copyBy(button, text) {
  const label = button.textContent;
  button.textContent = (await copyText(text)) ? "Copied" : "Could not copy";
  setTimeout(() => { button.textContent = label; }, 1500);
}
