// Building and updating elements. Text is only ever set as text: nothing that a client sends is read as markup.

export const $ = (id) => document.getElementById(id);

/** An element with properties (class, dataset, aria-…, on…) and children; null children are left out. */
export function el(name, properties = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "data") Object.assign(node.dataset, value);
    else node.setAttribute(key, value === true ? "" : String(value));
  }
  node.append(...children.filter((each) => each !== null && each !== undefined));
  return node;
}

/** Set a text only when it differs, so that a selection and a screen reader are left in peace. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function show(node, isShown) {
  if (node.hidden === isShown) node.hidden = !isShown;
}

export function mark(node, name, value) {
  if (node.getAttribute(name) !== String(value)) node.setAttribute(name, String(value));
}

/** Make the children of `parent` those of `items`, in order; what is there for a key is kept and updated. */
export function list(parent, items, keyOf, make, update) {
  const known = new Map([...parent.children].map((each) => [each.dataset.key, each]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let node = known.get(key);
    known.delete(key);
    if (node === undefined) {
      node = make(item);
      node.dataset.key = key;
    }
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
    update?.(node, item);
  }
  for (const node of known.values()) node.remove();
}

/** Call `act` when `node` has not been typed into for a moment. */
export function onTyped(node, act) {
  let timer = 0;
  node.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(act, 150);
  });
}

let fading = 0;

/** Tell the person something for some seconds. */
export function tell(text, isBad = false) {
  const toast = $("toast");
  toast.className = isBad ? "toast bad" : "toast";
  toast.textContent = text;
  clearTimeout(fading);
  fading = setTimeout(() => { toast.textContent = ""; }, 6000);
}
