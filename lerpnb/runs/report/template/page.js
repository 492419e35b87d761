// Draws the figures at the page's width and in its colours: grey text takes the page's ink; at night greys are turned
// over and colours too dark to see are lightened.
(() => {
  const night = matchMedia("(prefers-color-scheme: dark)");
  const PAPER = 700; // pixels: A4 and Letter within a browser's margins
  let printing = false;
  const figures = JSON.parse(document.querySelector("script#figures").textContent); // a notebook's HTML holds no script
  const brush = document.createElement("canvas").getContext("2d");
  const ink = { true: "#dfe3ea", false: "#1d2330" };
  const inks = (colour, dark, text) => {
    if (typeof colour !== "string" || !CSS.supports("color", colour)) return colour;
    brush.fillStyle = "#000"; brush.fillStyle = colour;
    const parts = brush.fillStyle[0] === "#" ? brush.fillStyle.slice(1).match(/../g).map((x) => parseInt(x, 16))
      : brush.fillStyle.match(/[\d.]+/g).map(Number);
    const [r, g, b, alpha = 1] = parts, high = Math.max(r, g, b), low = Math.min(r, g, b), grey = high - low < 48;
    if (grey && text && low > 60 && high < 200) return ink[dark];
    if (!dark) return colour;
    const to = grey ? (x) => 225 - 0.8 * x : (high + low) / 2 < 110 ? (x) => 115 + 0.55 * x : (x) => x;
    return `rgba(${[r, g, b].map((x) => Math.round(to(x)))},${alpha})`;
  };
  // At night a scale goes from dark to light: each of its colours keeps its hue and turns its lightness over.
  const turned = (colour) => {
    const parts = colour.slice(1).match(/../g).map((x) => parseInt(x, 16));
    return `rgb(${parts.map((x) => x + 255 - Math.max(...parts) - Math.min(...parts))})`;
  };
  const recolour = (part, dark, text, map) => {
    for (const [key, value] of Object.entries(part)) {
      if (key === "colorscale" && dark && !map && Array.isArray(value)) {
        part[key] = value.map(([at, colour]) => [at, /^#\w{6}$/.test(colour) ? turned(colour) : colour]);
      }
      if (/color$/i.test(key)) {
        const one = (colour) => inks(colour, dark, text);
        part[key] = Array.isArray(value) && !value.some(Array.isArray) ? value.map(one) : one(value);
      }
      if (typeof value === "string") part[key] = part[key].replace(/(?<=style="color:)#\w+/g, (colour) => inks(colour, dark));
      const data = /scale|^(x|y|z|text|values|customdata)$/.test(key);
      if (value && typeof value === "object" && !data) recolour(part[key], dark, /font$/.test(key), map);
    }
    return part;
  };
  const plain = (text) => String(text ?? "").replace(/<[^>]*>|&#?\w+;/g, " ");
  const lines = (columns, letters) => (columns?.[0] ?? []).reduce(
    (sum, text) => sum + Math.ceil((plain(text).length + 1) / letters), 0);
  const unbroken = (columns) => columns?.map((column) => column?.map?.((text) => `${text}`.replaceAll("<br>", " ")));
  const wrapped = (text, letters) => text.split("<br>").map((line) => {
    let length = 0;
    return line.split(" ").map((word) => {
      const size = plain(word).trim().length + 1, turn = length && length + size > letters;
      length = turn ? size : length + size;
      return (turn ? "<br>" : " ") + word;
    }).join("").trim();
  }).join("<br>");
  // On a phone: narrow margins, no long notes, fewer ticks. There, on a tablet and on paper: tables whose lines break
  // where the page needs it. Everywhere: room for the longest texts of the table under a slider.
  const fit = ({ data = [], layout }, width) => {
    const margin = layout.margin = { t: 100, b: 80, l: 80, r: 80, ...layout.margin };
    const tables = data.filter((trace) => trace.type === "table"), table = tables[0];
    const named = layout.annotations?.some((note) => note.xref === "paper" && note.x === 1 && note.xanchor === "left");
    const steps = (layout.sliders ?? []).flatMap((slider) => slider.steps ?? []);
    if (width < 600) {
      const titles = Object.keys(layout).filter((key) => /^yaxis/.test(key)).map((key) => layout[key].title?.text ?? "");
      const maps = data.filter((trace) => trace.type === "heatmap" && trace.texttemplate);
      for (const trace of maps) delete trace.texttemplate; // hover and colour say it
      const broad = maps.length || titles.some((title) => /<br>/.test(title));
      margin.l = Math.min(margin.l, broad ? 72 : titles.some(Boolean) ? 52 : 46); margin.r = Math.min(margin.r, named ? 76 : 44);
      layout.font = { ...layout.font, size: 11 };
      for (const note of layout.annotations ?? []) {
        if (note.xref === "paper" && note.xanchor === "left") {
          if (note.x === 0) Object.assign(note, { x: 0, xshift: 6 - margin.l, align: "left", text: wrapped(note.text, width / 6.4) });
          else note.text = wrapped(note.text, 13); // a line's name
          continue;
        }
        if (maps.length > 1 && note.xanchor === "center") { note.text = note.text.replace("/", "/<br>"); continue; }
        if (note.name === "verdict") { note.text = note.text.replace(/ \[[^\]]*\]/, ""); continue; }
        if (note.name === "path") continue;
        if (/extrapolation/.test(note.text)) {
          Object.assign(note, { visible: note.yref !== "paper", font: { ...note.font, size: 10 } });
          continue;
        }
        const room = note.xref !== "paper" ? 60 : note.xanchor === "right" ? width - 190 : width;  // beside 'alpha = 0.5'
        note.visible = plain(note.text).length * 6.5 < room;
      }
      if (table?.header?.font) table.header.font.size = 11;
      for (const key of Object.keys(layout).filter((key) => /^xaxis/.test(key))) {
        const { tickvals, ticktext } = layout[key], last = tickvals?.length - 1;
        const some = (_, i) => last < 8 || i === 0 || i === last || i % 4 === 3 && i < last - 2;
        if (last) Object.assign(layout[key], { tickvals: tickvals.filter(some), ticktext: ticktext?.filter(some), tickangle: 0 });
        if (maps.length > 1) layout[key].ticktext = layout[key].ticktext?.map((text) => text.replace(/<br>.*/, ""));
        const { title } = layout[key];
        if (title) Object.assign(title, { text: title.text?.replace(" (no unit)", ""), font: { ...title.font, size: maps.length > 1 ? 10 : 12 } });
      }
    }
    if (width < 900) {
      const sum = table?.columnwidth?.reduce?.((a, b) => a + b), least = (width < 600 ? 0.3 : 0.16) * sum;
      if (sum) table.columnwidth = table.columnwidth.map((part) => Math.max(part, least));
      for (const { cells } of tables) if (cells) cells.values = unbroken(cells.values);
      for (const { args } of steps) {
        if (args?.[0]?.["cells.values"]) args[0]["cells.values"] = args[0]["cells.values"].map(unbroken);
      }
    }
    const title = layout.title;
    if (title?.text && layout.height) {
      const before = title.text.split("<br>").length, size = width < 600 ? 14 : title.font?.size ?? 17;
      title.text = wrapped(title.text, (width - 24) / (0.56 * size));
      title.font = { ...title.font, size };
      const more = (title.text.split("<br>").length - before) * size * 1.35;
      margin.t += more; layout.height += more;
      if (title.y > 0.5) title.y = 1 - 18 / layout.height;
    }
    if (!table?.domain?.y || !layout.height) return;
    const texts = [...tables.map((one) => one.cells?.values),
      ...steps.flatMap((step) => step.args?.[0]?.["cells.values"]?.filter(Boolean) ?? [])];
    const letters = (width - margin.l - margin.r) / (width < 600 ? 11 : 8);
    const paper = layout.height - margin.t - margin.b;
    const room = (table.domain.y[1] - (table.domain.y[0] ?? 0)) * paper;
    const more = Math.max(...texts.map((text) => 20 * lines(text, letters) + 60)) - room;
    if (more <= 0) return;
    const lift = (y) => (y * paper + more) / (paper + more);
    layout.height += more;
    for (const { domain } of tables) domain.y = [(domain.y[0] ?? 0) * paper / (paper + more), lift(domain.y[1])];
    const axes = Object.keys(layout).filter((key) => /^yaxis/.test(key)).map((key) => layout[key]);
    for (const axis of axes) if (axis.domain) axis.domain = axis.domain.map(lift);
    const drawn = [...(layout.annotations ?? []), ...(layout.shapes ?? [])].filter((part) => part.yref === "paper");
    for (const part of [layout.legend ?? {}, ...(layout.sliders ?? []), ...(layout.updatemenus ?? []), ...drawn]) {
      for (const y of ["y", "y0", "y1"]) if (part[y]) part[y] = lift(part[y]);  // what stands at the foot stays there
    }
  };
  // A slider and a menu are the browser's own: Tab finds them, arrow keys move them, a screen reader reads them.
  const words = (text) => new DOMParser().parseFromString(text ?? "", "text/html").body.textContent;
  const make = (name, attributes) => Object.assign(document.createElement(name), attributes);
  const control = (place, { layout }) => {
    const [slider] = layout.sliders ?? [], [menu] = layout.updatemenus ?? [];
    if (!slider?.steps?.length) return () => {};
    const { margin } = layout, paper = layout.height - margin.t - margin.b;
    const note = layout.annotations?.find(({ name }) => name === "read-out");
    if (note) note.visible = false;
    delete layout.sliders; delete layout.updatemenus;
    let box = place.querySelector(".controls");
    if (!box) {
      box = make("div", { className: "controls" });
      const range = make("input", { type: "range", min: 0, max: slider.steps.length - 1, step: 1, value: slider.active ?? 0 });
      range.setAttribute("aria-label", (slider.currentvalue?.prefix ?? "alpha = ").replace(/\W+$/, ""));
      box.append(make("output"), range);
      if (menu) {
        const choice = make("select");
        choice.setAttribute("aria-label", "prompt");
        choice.append(...menu.buttons.map(({ label }) => make("option", { textContent: words(label) })));
        box.append(choice);
      }
      place.append(box);
    }
    const [output, range, choice] = box.children;
    const note_top = note?.yref === "paper" ? note.y : slider.y;
    const across = place.clientWidth - margin.l - margin.r, inset = slider.x ?? 0;
    Object.assign(box.style, { top: `${margin.t + (1 - note_top) * paper}px` });
    Object.assign(range.style, { marginLeft: `${margin.l + inset * across - 8}px`, width: `${(slider.len ?? 1) * across + 16}px` });
    for (const part of [output, choice]) if (part) part.style.marginLeft = `${Math.max(margin.l, 6)}px`;
    const step = () => {
      const { label, args } = slider.steps[range.value];
      const values = Object.entries(args[1] ?? {}).find(([key]) => /^annotations.*text$/.test(key))?.[1];
      output.replaceChildren(make("b", { textContent: `${range.ariaLabel} = ${words(label)}` }), ` ${words(values)}`);
      range.setAttribute("aria-valuetext", output.textContent);
      return Plotly.update(place, ...args);
    };
    const choose = () => choice && Plotly.restyle(place, ...menu.buttons[choice.selectedIndex].args);
    range.oninput = step;
    if (choice) choice.onchange = choose;
    return () => Promise.resolve(step()).then(choose);
  };
  const draw = (figure, i) => {
    const place = document.getElementById(`figure-${i + 1}`), dark = night.matches && !printing;
    if (!place) return;
    const map = figure.data.some((trace) => trace.type === "contour");
    const shown = recolour(structuredClone(figure), dark, false, map);
    if (map) { // a map is as light at night, and so is what lies on it
      shown.data = structuredClone(figure.data);
      shown.layout.annotations = structuredClone(figure.layout.annotations);
    }
    shown.layout.paper_bgcolor = shown.layout.plot_bgcolor = "rgba(0,0,0,0)";
    shown.layout.font = { family: getComputedStyle(document.body).fontFamily, ...shown.layout.font };
    if (printing) shown.layout.width = PAPER;
    fit(shown, printing ? PAPER : place.clientWidth);
    if (shown.layout.height) place.style.height = `${shown.layout.height}px`;
    const move = control(place, shown);
    return Plotly.react(place, shown.data ?? [], shown.layout, shown.config).then(() => {
      const quiet = () => place.querySelectorAll(".modebar-btn").forEach((button) => { button.tabIndex = -1; });
      if (!place.dataset.drawn) place.on("plotly_afterplot", quiet);
      place.dataset.drawn = "yes";
      place.querySelector(".still")?.remove();
      quiet();
      return move();
    });
  };
  const tried = async (figure, i) => { // one that plotly cannot draw leaves the others theirs
    try { await draw(figure, i); } catch { }
  };
  let drawn = 0;
  const next = async () => { // one at a time, so that scrolling stays smooth
    if (drawn === figures.length) return;
    await tried(figures[drawn], drawn);
    performance.mark(`figure ${++drawn}`);
    setTimeout(next);
  };
  const redraw = () => window.Plotly && figures.forEach(tried);
  const turn = (now) => { printing = now; redraw(); };
  document.documentElement.classList.add("js");
  const load = () => new Promise((done) => {
    const { nonce, dataset, textContent } = document.querySelector("script#plotly"), script = make("script", { nonce });
    if (dataset.src) Object.assign(script, { src: dataset.src, onload: done });
    else script.textContent = textContent;
    document.head.append(script); // one without an address has run now
    if (!dataset.src) done();
  });
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const still = document.querySelector(".still")?.decode().catch(() => {});
  // plotly.js takes a second to begin: until then the static images are on the screen.
  if (figures.length) Promise.resolve(still).then(frame).then(load).then(next);
  night.addEventListener("change", redraw);
  matchMedia("(max-width: 600px)").addEventListener("change", redraw);
  addEventListener("beforeprint", () => turn(true));
  addEventListener("afterprint", () => turn(false));
  const button = document.getElementById("code");
  const folds = [...document.querySelectorAll("details.code")];
  if (!button || !folds.length) return;
  button.hidden = false;
  button.addEventListener("click", () => {
    const open = folds.some((fold) => !fold.open);
    folds.forEach((fold) => { fold.open = open; });
    button.textContent = open ? "Hide code" : "Show code";
  });
})();
