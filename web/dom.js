// Building the page. Strings become text nodes: nothing here, or elsewhere, parses HTML.

export const byId = (id) => document.getElementById(id);

export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

export function button(label, onClick) {
  const node = element("button", {type: "button", class: "quiet"}, label);
  node.addEventListener("click", onClick);
  return node;
}
