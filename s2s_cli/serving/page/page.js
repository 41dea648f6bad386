// The page on /: translates while somebody types, and draws which words belong together.

const NAMESPACE = "http://www.w3.org/2000/svg";
const PAUSE = 250; // milliseconds without a key before a text is sent
const MOST_ALTERNATIVES = 3;
const find = (id) => document.getElementById(id);

let languages = [];
let settings = { alternatives: 0, keyRequired: false };
let timer = 0;
let underWay = null;

function option(code) {
  const known = languages.find((one) => one.code === code);
  const made = document.createElement("option");
  made.value = code;
  made.textContent = known ? known.name : code;
  return made;
}

function showTargets() {
  const chosen = find("target").value;
  const known = languages.find((one) => one.code === find("source").value);
  find("target").replaceChildren(...known.targets.map(option));
  if (known.targets.includes(chosen)) find("target").value = chosen;
  find("text").lang = find("source").value;
  find("translation").lang = find("target").value;
  const back = languages.find((one) => one.code === find("target").value);
  find("swap").disabled = !back || !back.targets.includes(find("source").value);
}

function say(message, isWrong = false) {
  find("status").textContent = message;
  find("status").classList.toggle("wrong", isWrong);
}

function clear() {
  find("translation").textContent = "";
  find("others").hidden = find("attention").hidden = true;
  say("");
}

async function ask(text, signal, alignments = true) {
  const request = {
    q: text, source: find("source").value, target: find("target").value, alignments,
    alternatives: Math.min(MOST_ALTERNATIVES, settings.alternatives),
    api_key: find("key").value || null,
  };
  const response = await fetch("/translate", {
    method: "POST", signal, headers: { "Content-Type": "application/json" },
    body: JSON.stringify(request),
  });
  const answer = await response.json();
  // An artefact has no alignments.
  if (response.status === 400 && alignments) return ask(text, signal, false);
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

async function translate() {
  const text = find("text").value;
  if (underWay) underWay.abort();
  if (!text.trim()) return clear();
  underWay = new AbortController();
  try {
    const answer = await ask(text, underWay.signal);
    find("translation").textContent = answer.translatedText;
    showAlternatives(answer.alternatives || []);
    showAttention(answer.alignments || []);
    say("");
  } catch (error) {
    if (error.name !== "AbortError") say(error.message, true);
  }
}

function showAlternatives(texts) {
  const rows = texts.map((text) => {
    const row = document.createElement("li");
    row.dir = "auto";
    row.lang = find("target").value;
    row.textContent = text;
    return row;
  });
  find("alternatives").replaceChildren(...rows);
  find("others").hidden = rows.length === 0;
}

// The picture: source tokens above, tokens of the translation below, a line for each link.

function element(name, attributes, text) {
  const made = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

const shown = (token) => token.replace(/^\u2581/, "") || "\u2423";
const WIDTH_OF_A_LETTER = 11, GAP = 16, HEIGHT = 170, ABOVE = 28, BELOW = 150;

function isRightToLeft(tokens) {
  return /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/.test(tokens.join(""));
}

function placesOf(tokens) {
  const widths = tokens.map((token) => {
    const letters = Array.from(shown(token));
    const wide = letters.filter((letter) => letter > "\u2e7f").length; // of East Asian scripts
    return (letters.length + wide * 0.7) * WIDTH_OF_A_LETTER + GAP;
  });
  const total = widths.reduce((sum, width) => sum + width, 0);
  let left = 0;
  const middles = widths.map((width) => (left += width) - width / 2);
  return { total, middles: isRightToLeft(tokens) ? middles.map((x) => total - x) : middles };
}

function drawLine({ source, target, links }) {
  const above = placesOf(source), below = placesOf(target);
  const width = Math.max(above.total, below.total, 80);
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(name).trim();
  const svg = element("svg", {
    xmlns: NAMESPACE, width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "group",
    "aria-label": "Which words belong together", "font-family": "system-ui, sans-serif",
    "font-size": 18,
  });
  svg.append(element("rect", { width, height: HEIGHT, fill: color("--ground") }));
  const lines = links.map(([from, to]) => element("line", {
    x1: above.middles[from], y1: ABOVE + 8, x2: below.middles[to], y2: BELOW - 20,
    stroke: color("--line"), "stroke-width": 1.5,
  }));
  svg.append(...lines);
  const words = (tokens, places, y, side) => tokens.map((token, index) => {
    const own = links.map((link, number) => [link, number]).filter(([link]) => link[side] === index);
    const others = own.map(([link]) => shown((side ? source : target)[link[1 - side]]));
    const word = element("text", {
      x: places.middles[index], y, "text-anchor": "middle", fill: color("--text"), tabindex: 0,
      role: "img", "aria-label": `${shown(token)}: ${others.join(", ") || "nothing"}`,
    }, shown(token));
    const mark = (isOn) => {
      word.setAttribute("font-weight", isOn ? "bold" : "normal");
      for (const [, number] of own) {
        lines[number].setAttribute("stroke", color(isOn ? "--accent" : "--line"));
        lines[number].setAttribute("stroke-width", isOn ? 3.5 : 1.5);
      }
    };
    for (const event of ["pointerenter", "focus"]) word.addEventListener(event, () => mark(true));
    for (const event of ["pointerleave", "blur"]) word.addEventListener(event, () => mark(false));
    return word;
  });
  svg.append(...words(source, above, ABOVE, 0), ...words(target, below, BELOW, 1));
  return svg;
}

function showAttention(lines) {
  const drawn = lines.filter((line) => line.links.length).map(drawLine);
  find("picture").replaceChildren(...drawn);
  find("attention").hidden = drawn.length === 0;
}

function save() {
  const drawn = [...find("picture").children];
  const width = Math.max(...drawn.map((one) => Number(one.getAttribute("width"))));
  const whole = element("svg", {
    xmlns: NAMESPACE, width, height: HEIGHT * drawn.length,
  });
  drawn.forEach((one, index) => {
    const copy = one.cloneNode(true);
    copy.setAttribute("y", index * HEIGHT);
    whole.append(copy);
  });
  const file = new Blob([new XMLSerializer().serializeToString(whole)], { type: "image/svg+xml" });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = "attention.svg";
  link.click();
  URL.revokeObjectURL(link.href);
}

function later() {
  clearTimeout(timer);
  timer = setTimeout(translate, PAUSE);
}

async function start() {
  settings = await (await fetch("/frontend/settings")).json();
  find("keyed").hidden = !settings.keyRequired;
  languages = await (await fetch("/languages")).json();
  find("source").replaceChildren(
    ...languages.filter((one) => one.targets.length).map((one) => option(one.code)),
  );
  // A link may carry what to translate, as LibreTranslate's do: /?source=en&target=de&q=text
  const given = new URLSearchParams(location.search);
  if (given.has("source")) find("source").value = given.get("source");
  showTargets();
  if (given.has("target")) find("target").value = given.get("target");
  if (given.has("q")) find("text").value = given.get("q");
  translate();
  find("text").addEventListener("input", later);
  find("key").addEventListener("input", later);
  find("source").addEventListener("change", () => { showTargets(); translate(); });
  find("target").addEventListener("change", () => { showTargets(); translate(); });
  find("save").addEventListener("click", save);
  find("swap").addEventListener("click", () => {
    const source = find("target").value, target = find("source").value;
    find("text").value = find("translation").textContent;
    find("source").value = source;
    showTargets();
    find("target").value = target;
    showTargets();
    translate();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", translate);
}

start();
