// Puts the page together: views, colours, settings, the model in view.
import {apiKey, models, setApiKey} from "./api.js";
import {Chat} from "./chat.js";
import {byId, element} from "./dom.js";
import {Monitor} from "./monitor.js";
import {openSettings, Settings} from "./settings.js";

const RETRY = 2000;  // milliseconds, while the server loads its model
const WIDE = matchMedia("(min-width: 60.01rem)");

let served = [];

function showModelFacts() {
  const model = served.find(({id}) => id === byId("model").value);
  const facts = [];
  if (served.length === 0) facts.push("loading…");
  if (model && !model.loaded) facts.push(model.pinned ? "loading…" : "loaded when asked");
  if (model?.device) facts.push(model.device);
  if (model?.max_model_len) facts.push(`${model.max_model_len.toLocaleString("en")} tokens`);
  byId("model-facts").textContent = facts.join(" · ");
}

async function loadModels() {
  try {
    served = await models();
    const select = byId("model");
    if (select.options.length !== served.length) {
      select.replaceChildren(...served.map(({id}) => element("option", {value: id}, id)));
    }
    showModelFacts();
    if (served.length > 0 && served.every(({loaded}) => loaded)) return;
  } catch (error) {
    byId("model-facts").textContent = error.message;
    if (error.status === 401) return askForKey();
  }
  setTimeout(loadModels, RETRY);
}

function askForKey() {
  openSettings();
  byId("key").focus();
}

function followSettings() {
  byId("settings-toggle").addEventListener("click", () => openSettings(byId("settings").hidden));
  byId("settings-close").addEventListener("click", () => {
    openSettings(false);
    byId("settings-toggle").focus();
  });
  byId("key").value = apiKey();
  byId("key").addEventListener("change", () => {
    setApiKey(byId("key").value.trim());
    loadModels();
  });
  openSettings(WIDE.matches);
}

function followTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const isDark = () => (root.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
  const label = () => {
    byId("theme").textContent = isDark() ? "Light" : "Dark";
    byId("theme").setAttribute("aria-label", `${byId("theme").textContent} colours`);
  };
  byId("theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    localStorage.setItem("lotse.theme", root.dataset.theme);
    label();
  });
  dark.addEventListener("change", label);
  label();
}

function showView(monitor) {
  const isPlots = location.hash === "#plots";
  byId("chat").hidden = isPlots;
  byId("plots").hidden = !isPlots;
  byId("settings-toggle").hidden = isPlots;
  for (const link of document.querySelectorAll("nav a")) {
    const isCurrent = link.hash === (isPlots ? "#plots" : "#chat");
    if (isCurrent) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (isPlots) monitor.start();
  else if (WIDE.matches) byId("prompt").focus();
}

const monitor = new Monitor();
new Chat(new Settings(), () => byId("model").value);
followSettings();
followTheme();
byId("model").addEventListener("change", showModelFacts);
addEventListener("hashchange", () => showView(monitor));
showView(monitor);
loadModels();
