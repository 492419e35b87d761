// Draws the figures at the page's width and in its colours: grey text takes the page's ink; at night greys are turned
// over and colours too dark to see are lightened.
(() => {
  const night = matchMedia("(prefers-color-scheme: dark)");
  const PAPER = 700; // pixels: A4 and Letter within a browser's margins
  let printing = false;
  const figures = JSON.parse(document.getElementById("figures").textContent);
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
  const recolour = (part, dark, text) => {
    for (const [key, value] of Object.entries(part)) {
      if (/color$/i.test(key)) {
        const one = (colour) => inks(colour, dark, text);
        part[key] = Array.isArray(value) && !value.some(Array.isArray) ? value.map(one) : one(value);
      }
      if (typeof value === "string") part[key] = part[key].replace(/(?<=style="color:)#\w+/g, (colour) => inks(colour, dark));
      const data = /scale|^(x|y|z|text|values|customdata)$/.test(key);
      if (value && typeof value === "object" && !data) recolour(part[key], dark, /font$/.test(key));
    }
    return part;
  };
  const plain = (text) => String(text ?? "").replace(/<[^>]*>|&#?\w+;/g, " ");
  const lines = (columns, letters) => (columns?.[0] ?? []).reduce(
    (sum, text) => sum + Math.ceil((plain(text).length + 1) / letters), 0);
  const unbroken = (columns) => columns?.map((column) => column?.map?.((text) => `${text}`.replaceAll("<br>", " ")));
  // On a phone: narrow margins, no long notes, fewer ticks. There, on a tablet and on paper: tables whose lines break
  // where the page needs it. Everywhere: room for the longest texts of the table under a slider.
  const fit = ({ data = [], layout }, width) => {
    const margin = layout.margin = { t: 100, b: 80, l: 80, r: 80, ...layout.margin };
    const table = data.find((trace) => trace.type === "table");
    const steps = (layout.sliders ?? []).flatMap((slider) => slider.steps ?? []);
    if (width < 600) {
      margin.l = Math.min(margin.l, 52); margin.r = Math.min(margin.r, 44);
      layout.font = { ...layout.font, size: 11 };
      for (const note of layout.annotations ?? []) {
        const room = note.xref !== "paper" ? 60 : note.xanchor === "right" ? width - 190 : width;  // beside 'alpha = 0.5'
        note.visible = plain(note.text).length * 6.5 < room;
      }
      if (table?.header?.font) table.header.font.size = 11;
      for (const key of Object.keys(layout).filter((key) => /^xaxis/.test(key))) {
        const { tickvals, ticktext } = layout[key], last = tickvals?.length - 1;
        const some = (_, i) => last < 8 || i === 0 || i === last || i % 4 === 3 && i < last - 2;
        if (last) Object.assign(layout[key], { tickvals: tickvals.filter(some), ticktext: ticktext?.filter(some), tickangle: 0 });
        if (layout[key].title) layout[key].title.font = { ...layout[key].title.font, size: 12 };
      }
    }
    if (width < 900) {
      const sum = table?.columnwidth?.reduce?.((a, b) => a + b), least = (width < 600 ? 0.3 : 0.16) * sum;
      if (sum) table.columnwidth = table.columnwidth.map((part) => Math.max(part, least));
      if (table?.cells) table.cells.values = unbroken(table.cells.values);
      for (const { args } of steps) {
        if (args?.[0]?.["cells.values"]) args[0]["cells.values"] = args[0]["cells.values"].map(unbroken);
      }
    }
    if (!table?.domain?.y || !layout.height) return;
    const texts = [table.cells?.values, ...steps.map((step) => step.args?.[0]?.["cells.values"]?.find(Boolean))];
    const letters = (width - margin.l - margin.r) / (width < 600 ? 11 : 8);
    const paper = layout.height - margin.t - margin.b;
    const more = Math.max(...texts.map((text) => 20 * lines(text, letters) + 60)) - table.domain.y[1] * paper;
    if (more <= 0) return;
    const lift = (y) => (y * paper + more) / (paper + more);
    layout.height += more;
    table.domain.y[1] = lift(table.domain.y[1]);
    const axes = Object.keys(layout).filter((key) => /^yaxis/.test(key)).map((key) => layout[key]);
    for (const axis of axes) if (axis.domain) axis.domain = axis.domain.map(lift);
    const drawn = [...(layout.annotations ?? []), ...(layout.shapes ?? [])].filter((part) => part.yref === "paper");
    for (const part of [layout.legend ?? {}, ...(layout.sliders ?? []), ...drawn]) {
      for (const y of ["y", "y0", "y1"]) if (part[y] !== undefined) part[y] = lift(part[y]);
    }
  };
  const draw = (figure, i) => {
    const place = document.getElementById(`figure-${i + 1}`), dark = night.matches && !printing;
    if (!place) return;
    const shown = recolour(structuredClone(figure), dark, false);
    if (figure.data.some((trace) => trace.type === "contour")) { // a map is as light at night, and so is what lies on it
      shown.data = structuredClone(figure.data);
      shown.layout.annotations = structuredClone(figure.layout.annotations);
    }
    shown.layout.paper_bgcolor = "rgba(0,0,0,0)";
    shown.layout.font = { family: getComputedStyle(document.body).fontFamily, ...shown.layout.font };
    if (printing) shown.layout.width = PAPER;
    fit(shown, printing ? PAPER : place.clientWidth);
    if (shown.layout.height) place.style.height = `${shown.layout.height}px`;
    return Plotly.react(place, shown.data ?? [], shown.layout, shown.config).then(() => place.querySelector(".still")?.remove());
  };
  let drawn = 0;
  const next = () => { // one at a time, so that scrolling stays smooth
    if (drawn === figures.length) return;
    draw(figures[drawn], drawn)?.then(() => performance.mark(`figure ${++drawn}`)).then(() => setTimeout(next));
  };
  const redraw = () => figures.forEach(draw);
  const turn = (now) => { printing = now; redraw(); };
  document.documentElement.classList.add("js");
  next();
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
