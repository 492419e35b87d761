// The explorer's widget: it draws what the kernel sends, and sends what a person does. The slider needs no kernel.
// Texts from models are set as text, never as HTML.
const SVG = "http://www.w3.org/2000/svg";
const TOKENS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9"];
const LINES = { strength: ["#D55E00", "#E69F00"], score: ["#D55E00", "#E69F00"], loss: ["#0072B2", "#009E73", "#56B4E9", "#CC79A7"] };
const DASHES = ["", "6 3", "2 3", "8 3 2 3"];
const LEFT = 44, RIGHT = 8, THUMB = 9; // pixels: the axis beside a chart, and half of the slider's knob
const BEFORE = 1, AFTER = 2, MINUS = 4, PLUS = 8; // as diff.py has them
const CONTEXT = 46; // letters before the next token that are shown
const EMPTY = "Type one or more words for the model to continue.";
const PAUSE = 300; // milliseconds without a key before a new prompt is written

const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};
const draw = (parent, tag, attributes = {}, text = "") => {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text) element.textContent = text;
  parent.append(element);
  return element;
};
const later = (wait, act) => {
  let timer;
  const run = (...given) => { clearTimeout(timer); timer = setTimeout(() => act(...given), wait); };
  run.cancel = () => clearTimeout(timer);
  return run;
};
const spaced = (label) => label.replaceAll(" ", "␣").replaceAll("\n", "↵");
const percent = (p) => p == null ? "–" : p >= 0.0995 ? `${Math.round(100 * p)} %` : `${(100 * p).toFixed(1)} %`;
const without = (words, other) => { // which words are outside the longest run that they have in common with the other's
  const [a, b] = [words, other].map((all) => all.map((word) => word.trim()));
  const common = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) for (let j = b.length - 1; j >= 0; j--)
    common[i][j] = a[i] === b[j] ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
  let j = 0;
  return a.map((word, i) => {
    while (j < b.length && word !== b[j] && common[i][j] === common[i][j + 1]) j++;
    if (j === b.length || word !== b[j]) return true;
    j++;
    return false;
  });
};
const short = (value) => value.toPrecision(3).replace("-", "−");

function render({ model, el }) {
  let setup = null, page = null, bars = null, index = 0, came = -1, word = 0, busy = false, stale = false;
  let pins = []; // of alphas to compare, at most two

  // what stands where
  const number = (text, name, help, attributes) => {
    const input = make("input", { type: "number", name, title: help, ...attributes });
    return [input, make("label", { title: help }, text, input)];
  };
  const prompt = make("textarea", { rows: 2, name: "prompt", spellcheck: "false", dir: "auto" });
  const [tokens, tokensLabel] = number("tokens", "max_new_tokens", "Tokens of a continuation at most", { min: 1, step: 1 });
  const [heat, heatLabel] = number("temperature", "temperature", "0 takes the likeliest token", { min: 0, step: 0.1 });
  const [mass, massLabel] = number("top-p", "top_p", "Mass of the nucleus, more than 0 and at most 1",
    { min: 0.05, max: 1, step: 0.05 });
  const [seed, seedLabel] = number("seed", "seed", "Another seed, another draw, the same at every alpha", { step: 1 });
  const stop = make("button", { type: "button", class: "stop", title: "Stop writing" }, "Stop");
  const status = make("div", { class: "status", role: "status" });
  const error = make("div", { class: "error", role: "alert" });
  const name = make("output", { class: "alpha" });
  const slider = make("input", { type: "range", min: 0, step: 1, "aria-label": "alpha", class: "slider" });
  const ruler = document.createElementNS(SVG, "svg");
  ruler.setAttribute("aria-hidden", "true");
  const text = make("div", { class: "text", tabindex: 0, role: "group", dir: "auto" });
  const key = make("div", { class: "key" });
  const keep = make("button", { type: "button", class: "keep" }, "Keep this alpha");
  const pin = make("button", { type: "button", class: "pin" }, "Pin to compare");
  const copy = make("button", { type: "button", class: "copy" }, "Copy text");
  const open = make("button", { type: "button", class: "open", "aria-expanded": "false" }, "Save model…");
  const to = make("input", { type: "text", name: "to", spellcheck: "false", "aria-label": "A new folder to save to" });
  const save = make("button", { type: "button", class: "save" }, "Save");
  const cancel = make("button", { type: "button" }, "Cancel");
  const form = make("div", { class: "form" }, to, save, cancel);
  const notice = make("div", { class: "notice", role: "status" });
  const heading = make("div", { class: "heading" });
  const chart = document.createElementNS(SVG, "svg");
  chart.setAttribute("role", "img");
  const legend = make("div", { class: "legend" });
  const curves = make("div", { class: "curves" });
  const scale = make("div", { class: "scale" }, slider, ruler);
  const others = make("div", { class: "others" });
  const compare = make("div", { class: "compare" });
  const strip = make("ol", { class: "strip", "aria-label": "The texts at all alphas" });
  const root = make("div", { class: "lerp-explorer" },
    make("div", { class: "ask" }, make("label", { class: "prompt" }, "Prompt", prompt),
      make("div", { class: "controls" }, tokensLabel, heatLabel, massLabel, seedLabel, stop, status),
      others),
    error,
    make("div", { class: "body" }, make("div", { class: "left" }, name, text, key,
      make("div", { class: "buttons" }, pin, copy, keep, open), form, notice), curves, scale,
    make("div", { class: "charts" }, make("div", { class: "bars" }, heading, chart, legend))), strip, compare);
  form.hidden = true;
  el.append(root);
  for (const element of [prompt, tokens, heat, mass, seed, stop, slider, text, pin, copy, keep, open, to, save, cancel])
    element.setAttribute("data-lm-suppress-shortcuts", "true"); // JupyterLab's arrow keys would walk to another cell

  // where an alpha stands, on the slider and under every chart
  const wide = () => Math.max(scale.clientWidth, 260);
  const at = (i) => {
    const from = LEFT + THUMB, length = wide() - LEFT - RIGHT - 2 * THUMB;
    return from + length * i / (setup.alphas.length - 1);
  };
  const place = (alpha) => { // between two steps of an uneven grid, too
    const grid = setup.alphas, last = grid.length - 1;
    if (alpha < grid[0] - 1e-9 || alpha > grid[last] + 1e-9) return null;
    const i = Math.max(0, Math.min(last - 1, grid.findLastIndex((a) => a <= alpha)));
    return at(i + (alpha - grid[i]) / (grid[i + 1] - grid[i]));
  };
  const sized = (svg, height) => {
    svg.replaceChildren();
    svg.setAttribute("width", wide());
    svg.setAttribute("height", height);
    svg.setAttribute("viewBox", `0 0 ${wide()} ${height}`);
  };
  const nearest = (event, svg) => {
    const x = event.clientX - svg.getBoundingClientRect().left;
    return setup.alphas.map((_, i) => Math.abs(at(i) - x)).reduce((best, d, i, all) => (d < all[best] ? i : best), 0);
  };
  const here = (svg, height) => draw(svg, "line", { x1: at(index), x2: at(index), y1: 0, y2: height, class: "here" });

  function drawRuler() {
    sized(ruler, 34);
    const last = setup.alphas.length - 1, gap = (at(last) - at(0)) / last, every = Math.max(1, Math.ceil(44 / gap));
    setup.alphas.forEach((alpha, i) => {
      const end = i === setup.ends[0] || i === setup.ends[1];
      draw(ruler, "line", { x1: at(i), x2: at(i), y1: 0, y2: end ? 7 : 4, class: "tick" });
      const near = setup.ends.some((e) => e !== i && Math.abs(e - i) * gap < 34);
      if (end || (!near && (i % every === 0 || i === last)))
        draw(ruler, "text", { x: at(i), y: 18, class: end ? "end" : "" }, setup.labels[i]);
    });
    setup.ends.forEach((i, side) => {
      const known = setup.alphas[i] === side;
      draw(ruler, "text", { x: at(i), y: 31, class: "end" }, known ? ["minus", "plus"][side] : ["first", "last"][side]);
    });
  }

  function drawText() {
    name.textContent = `${setup.axis} alpha = ${setup.labels[index]}`.trim();
    slider.setAttribute("aria-valuetext", `alpha ${setup.labels[index]}`);
    for (const button of [pin, copy, keep]) button.disabled = !page;
    pin.textContent = pins.includes(index) ? "Unpin" : "Pin to compare";
    drawStrip(); drawCompare();
    if (!page) {
      text.replaceChildren(make("span", { class: "given" }, prompt.value.trim() ? "" : EMPTY));
      return key.replaceChildren();
    }
    const parts = [make("span", { class: "given" }, page.prompt)];
    const side = came >= 0 && Math.abs(came - index) === 1 ? came : index > 0 ? index - 1 : index + 1;
    const beside = side < index ? BEFORE : AFTER;
    const caret = () => make("span", { class: "caret", "aria-hidden": "true" });
    page.words[index].forEach((whole, i) => {
      const differs = page.diff[index][i], bare = whole.trimStart();
      parts.push(whole.slice(0, whole.length - bare.length));
      if (i === word) parts.push(caret());
      const classes = [differs & beside && "beside", differs & MINUS && "minus", differs & PLUS && "plus"].filter(Boolean);
      const span = make("span", { class: ["word", ...classes].join(" ") }, bare);
      span.dataset.word = i;
      parts.push(span);
    });
    if (word >= page.words[index].length) parts.push(caret());
    if (page.notes[index]) parts.push(make("span", { class: "note" }, ` ${page.notes[index]}`));
    text.replaceChildren(...parts);
    text.setAttribute("aria-label",
      `Text at alpha ${setup.labels[index]}; the left and right arrow keys choose the place of the bars`);
    const ends = setup.ends.map((e, s) => (setup.alphas[e] === s ? ["minus", "plus"][s] : `alpha ${setup.labels[e]}`));
    key.replaceChildren("differs from ", make("span", { class: "beside" }, `alpha ${setup.labels[side]}`), " ",
      make("span", { class: "minus" }, ends[0]), " ", make("span", { class: "plus" }, ends[1]));
  }

  function drawStrip() { // every text, small; pressing one goes there
    strip.replaceChildren(...setup.alphas.map((_, i) => {
      const side = i ? BEFORE : AFTER, card = make("button", { type: "button", tabindex: -1, class: "card", "aria-pressed": i === index });
      card.classList.toggle("pinned", pins.includes(i));
      const words = (page?.words[i] ?? []).map((word, w) => make("span", { class: page.diff[i][w] & side ? "beside" : "" }, word));
      card.append(make("span", { class: "name" }, `alpha = ${setup.labels[i]}`), make("span", { class: "small", dir: "auto" }, ...words));
      card.addEventListener("click", () => go(i));
      return make("li", {}, card);
    }));
    const card = strip.children[index];
    strip.scrollLeft = card.offsetLeft - (strip.clientWidth - card.offsetWidth) / 2;
  }

  function drawCompare() { // two pinned texts, or a pinned one and that at the slider
    const shown = page ? [...new Set(pins.length === 1 ? [...pins, index] : pins)].sort((a, b) => a - b) : [];
    compare.replaceChildren(...shown.map((i, k) => {
      const other = page.words[shown[1 - k] ?? i], flags = without(page.words[i], other);
      const words = page.words[i].map((word, w) => make("span", { class: flags[w] ? "beside" : "" }, word));
      const title = make("div", { class: "name" }, `alpha = ${setup.labels[i]}`);
      if (pins.includes(i)) {
        const off = make("button", { type: "button", "aria-label": `Unpin alpha ${setup.labels[i]}` }, "Unpin");
        off.addEventListener("click", () => pinned(i));
        title.append(off);
      }
      return make("div", { class: "column" }, title, make("div", { dir: "auto" }, make("span", { class: "given" }, page.prompt), ...words));
    }));
    if (shown.length === 1) compare.append(make("div", { class: "column given" }, "Move alpha to compare, or pin a second one."));
  }

  function drawBars() {
    const height = 96, n = setup.alphas.length;
    sized(chart, height + 4);
    const most = Math.max(...setup.alphas.map((_, i) => (bars ? bars.p.reduce((sum, p) => sum + (p[i] ?? 0), 0) : 1)));
    const top = [0.1, 0.2, 0.5].find((share) => most <= share) ?? 1;
    for (const share of [0, 0.5, 1]) {
      const y = 2 + height * (1 - share), label = `${Number((100 * share * top).toPrecision(2))} %`;
      draw(chart, "line", { x1: LEFT, x2: wide() - RIGHT, y1: y, y2: y, class: "grid" });
      draw(chart, "text", { x: LEFT - 6, y: share === 1 ? y + 9 : share ? y + 4 : y, class: "side" }, label);
    }
    const step = n > 1 ? at(1) - at(0) : 30, width = Math.min(2 * THUMB, 0.72 * step);
    if (bars) for (let i = 0; i < n; i++) {
      let y = 2 + height;
      bars.p.forEach((p, t) => {
        const tall = height * (p[i] ?? 0) / top;
        y -= tall;
        draw(chart, "rect", { x: at(i) - width / 2, y, width, height: tall, fill: TOKENS[t], class: "bar" });
      });
      if (i === index)
        draw(chart, "rect", { x: at(i) - width / 2 - 2, y: 1, width: width + 4, height: height + 2, class: "frame" });
    }
    const items = (bars?.labels ?? []).map((label, t) => {
      const swatch = make("span", { class: "swatch" });
      swatch.style.background = TOKENS[t];
      return make("span", { class: "item" }, swatch, make("bdi", { class: "token" }, spaced(label)),
        make("span", { class: "p" }, percent(bars.p[t][index])));
    });
    legend.replaceChildren(...items);
    const context = bars && bars.context.length > CONTEXT ? `…${bars.context.slice(1 - CONTEXT)}` : bars?.context;
    heading.replaceChildren(...(bars ? ["next token after ", make("bdi", { class: "context" }, spacedOut(context))] : []));
    chart.setAttribute("aria-label", bars ? `Probability of the next token at alpha ${setup.labels[index]}: ` +
      bars.labels.map((label, t) => `${label.trim()} ${percent(bars.p[t][index])}`).join(", ") : "no bars yet");
    root.classList.toggle("stale", Boolean(bars) && (stale || (bars.word > 0 && bars.index !== index)));
  }
  const spacedOut = (context) => `“${context.replaceAll("\n", "↵")}”`;

  function drawCurves() {
    const units = [...new Set(setup.curve.map((line) => line.unit))].slice(0, 2);
    curves.replaceChildren(...units.map((unit) => drawPanel(setup.curve.filter((line) => line.unit === unit), unit)));
  }

  function drawPanel(lines, unit) {
    const height = 84, svg = document.createElementNS(SVG, "svg"), count = { strength: 0, score: 0, loss: 0, other: 0 };
    sized(svg, height + 8);
    const all = lines.flatMap((line) => [...line.value, ...line.low, ...line.high]).filter((v) => v != null);
    const low = Math.min(...all), span = Math.max(...all) - low || 1, y = (v) => 4 + height * (1 - (v - low) / span);
    for (const v of [low, low + span]) {
      draw(svg, "line", { x1: LEFT, x2: wide() - RIGHT, y1: y(v), y2: y(v), class: "grid" });
      draw(svg, "text", { x: LEFT - 6, y: y(v) + (v === low ? 0 : 8), class: "side" }, short(v));
    }
    const title = make("div", { class: "heading" });
    for (const line of lines) {
      const kind = LINES[line.name.split("/")[0]] ? line.name.split("/")[0] : "other", k = count[kind]++;
      const color = (LINES[kind] ?? LINES.loss)[k % (LINES[kind] ?? LINES.loss).length];
      const points = line.alpha.map((a, i) => [place(a), line.value[i], line.low[i], line.high[i]])
        .filter(([x, v]) => x != null && v != null);
      const sure = points.filter(([, , l, h]) => l != null && h != null);
      const band = [...sure.map(([x, , l]) => `${x},${y(l)}`), ...sure.map(([x, , , h]) => `${x},${y(h)}`).reverse()];
      draw(svg, "polygon", { points: band.join(" "), fill: color, class: "band" });
      const dash = DASHES[k % DASHES.length];
      draw(svg, "polyline", { points: points.map(([x, v]) => `${x},${y(v)}`).join(" "), stroke: color,
        "stroke-dasharray": dash, class: "line" });
      const value = valueAt(line, setup.alphas[index]);
      if (value != null)
        draw(svg, "path", { d: `M${at(index)} ${y(value) - 6}l6 6l-6 6l-6 -6z`, fill: color, class: "diamond" });
      const swatch = make("span", { class: "swatch" });
      swatch.style.background = color;
      title.append(make("span", { class: "item" }, swatch, make("bdi", {}, line.name),
        make("span", { class: "p" }, value == null ? "–" : short(value))));
    }
    here(svg, height + 8);
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `${lines.map((line) => line.name).join(", ")} over alpha, in ${unit}`);
    svg.addEventListener("click", (event) => go(nearest(event, svg)));
    title.append(make("span", { class: "unit" }, unit));
    return make("div", { class: "panel" }, title, svg);
  }

  function valueAt(line, alpha) { // measured there, or on the way between two that were
    const i = line.alpha.findLastIndex((a) => a <= alpha + 1e-9);
    if (i < 0) return null;
    if (Math.abs(line.alpha[i] - alpha) < 1e-9 || i === line.alpha.length - 1)
      return Math.abs(line.alpha[i] - alpha) < 1e-9 ? line.value[i] : null;
    const [a, b] = [line.value[i], line.value[i + 1]];
    return a == null || b == null ? null : a + (b - a) * (alpha - line.alpha[i]) / (line.alpha[i + 1] - line.alpha[i]);
  }

  function drawAll() {
    if (!setup || !scale.clientWidth) return;
    drawRuler(); drawText(); drawBars(); drawCurves();
  }

  function reserve() { // room for the longest text, so that nothing moves while it is written
    const letters = prompt.value.length + 5.5 * (tokens.valueAsNumber || 40);
    const lines = Math.ceil(letters / Math.max(20, text.clientWidth / 8)) + 2;
    text.style.minHeight = `${Math.min(18, Math.max(5, lines)) * 1.6}em`;
  }

  // what a person does
  const say = (message) => model.send(message);
  const sayAt = later(150, () => say({ kind: "at", index }));
  const look = later(120, () => say({ kind: "cursor", index, word }));
  const write = later(PAUSE, () => {
    word = 0; busy = true; showStatus();
    const value = (input) => (Number.isNaN(input.valueAsNumber) ? null : input.valueAsNumber);
    say({ kind: "write", prompt: prompt.value, max_new_tokens: value(tokens), temperature: value(heat),
      top_p: value(mass), seed: value(seed) });
  });
  const asked = []; // what another line's slider is about to say
  function other(line) { // another line's alpha: all texts are written anew
    const last = setup.alphas.length - 1, value = make("output", {});
    const range = make("input", { type: "range", min: 0, max: last, step: 1, value: line.index,
      "aria-label": `alpha of ${line.name}`, "data-lm-suppress-shortcuts": "true" });
    const show = () => {
      value.textContent = `alpha = ${setup.labels[range.value]}`;
      range.setAttribute("aria-valuetext", `alpha ${setup.labels[range.value]}`);
    };
    const ask = later(PAUSE, () => {
      word = 0; busy = stale = true; showStatus(); drawBars();
      say({ kind: "fix", name: line.name, index: Number(range.value) });
    });
    asked.push(ask);
    range.addEventListener("input", () => { error.textContent = ""; show(); ask(); });
    show();
    return make("label", {}, make("bdi", {}, line.name), range, value);
  }
  function go(i) {
    if (i === index) return;
    came = index; index = i;
    slider.value = i;
    to.value = to.value.replace(/alpha_[-−\d.]+$/, `alpha_${setup.alphas[i]}`);
    drawText(); drawBars(); drawCurves();
    sayAt();
    if (word) look();
  }
  function move(i) {
    if (!page) return;
    word = Math.max(0, Math.min(i, page.words[index].length));
    drawText();
    look();
  }
  slider.addEventListener("input", () => go(Number(slider.value)));
  chart.addEventListener("click", (event) => go(nearest(event, chart)));
  for (const input of [prompt, tokens, heat, mass, seed]) input.addEventListener("input", () => {
    error.textContent = "";
    reserve();
    if (prompt.value.trim()) return write();
    write.cancel(); look.cancel();
    say({ kind: "stop" });
    page = bars = null; word = 0;
    drawAll(); showStatus();
  });
  text.addEventListener("click", (event) => {
    const span = event.target.closest(".word");
    if (span) move(Number(span.dataset.word)); else if (event.target.closest(".given")) move(0);
  });
  text.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (step) { event.preventDefault(); move(word + step); }
  });
  function pinned(i) { // a third one takes the place of the first
    pins = pins.includes(i) ? pins.filter((one) => one !== i) : [...pins, i].slice(-2);
    drawText();
  }
  pin.addEventListener("click", () => pinned(index));
  copy.addEventListener("click", async () => {
    const whole = page.prompt + page.words[index].join("");
    notice.className = "notice";
    try {
      await navigator.clipboard.writeText(whole);
      notice.textContent = `The text at alpha ${setup.labels[index]} is copied.`;
    } catch { // a page that is not served by https, or a front end without the right
      getSelection().selectAllChildren(text);
      notice.textContent = "The text is selected: copy it with Ctrl+C or ⌘C.";
    }
  });
  stop.addEventListener("click", () => { write.cancel(); say({ kind: "stop" }); });
  keep.addEventListener("click", () => say({ kind: "keep", index }));
  const unfold = (shown) => { form.hidden = !shown; open.setAttribute("aria-expanded", shown); if (shown) to.focus(); };
  open.addEventListener("click", () => unfold(form.hidden));
  cancel.addEventListener("click", () => { unfold(false); open.focus(); });
  const store = () => {
    save.disabled = true;
    notice.className = "notice";
    notice.textContent = `Saving the model at alpha ${setup.labels[index]}…`;
    say({ kind: "save", index, to: to.value });
  };
  save.addEventListener("click", store);
  to.addEventListener("keydown", (event) => { if (event.key === "Enter" && !save.disabled) store(); });

  // what the kernel sends
  function showStatus(stopped = false) {
    if (!setup) return;
    const n = setup.alphas.length;
    root.classList.toggle("busy", busy);
    stop.disabled = !busy;
    if (!page) { status.textContent = busy ? "Writing…" : ""; return; }
    const done = setup.unsupported ? `${page.tokens} of ${n * page.of} tokens` : `token ${page.step} of ${page.of}`;
    status.textContent = busy ? `Writing ${n} texts: ${done}` : stopped ? `Stopped: ${done}` : `${n} texts, ${page.tokens} tokens`;
  }
  const answers = {
    setup(message) {
      setup = message; index = message.index;
      others.replaceChildren(...message.others.map(other));
      slider.max = message.alphas.length - 1; slider.value = index;
      prompt.value = message.prompt;
      tokens.value = message.settings.max_new_tokens; heat.value = message.settings.temperature;
      mass.value = message.settings.top_p; seed.value = message.settings.seed;
      to.value = message.to;
      if (message.unsupported) {
        notice.textContent = `One alpha after the other: ${message.unsupported}`;
      }
      busy = true;
      reserve(); drawAll(); showStatus();
    },
    page(message) {
      if (!prompt.value.trim()) return; // it came late
      stale ||= Boolean(page) && page.prompt !== message.prompt; // the bars are still of the prompt before
      page = message;
      busy = !message.done;
      drawText(); showStatus();
      root.classList.toggle("stale", stale);
    },
    bars(message) {
      if (!prompt.value.trim()) return;
      bars = message; stale = false; drawBars();
    },
    stopped() { const stopped = busy; busy = false; showStatus(stopped); },
    error(message) {
      const stopped = busy && page && !page.done;
      busy = false;
      error.textContent = message.text.replaceAll("\n", " ");
      showStatus(stopped);
    },
    kept(message) {
      notice.className = "notice";
      notice.textContent = `Alpha ${message.alpha} is kept (${message.count} in all): explorer.kept, and ${message.path}`;
    },
    saved(message) { save.disabled = false; unfold(false); notice.className = "notice"; notice.textContent = message.text; },
    "not saved"(message) { save.disabled = false; notice.className = "notice wrong"; notice.textContent = message.text; },
  };
  const receive = (message) => { if (setup || message.kind === "setup") answers[message.kind]?.(message); };
  model.on("msg:custom", receive);
  const watch = new ResizeObserver(() => drawAll());
  watch.observe(scale);
  say({ kind: "hello" });
  return () => { model.off("msg:custom", receive); watch.disconnect(); [write, look, sayAt, ...asked].forEach((act) => act.cancel()); };
}

export default { render };
