// The player: it goes from step to step, lights the picture, and shows the step's equation and numbers.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;
  const { steps, tensors, operations, arrays } = JSON.parse($("data").textContent);
  const last = steps.length - 1;
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  let current = -1;
  let chosen = null; // the tensor that was clicked
  let timer = 0; // of the playing
  root.classList.add("js");

  function make(tag, properties = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name in element) element[name] = value;
      else element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  }

  // ---- Numbers

  const WORDS = { NaN: "NaN", Infinity: "∞", "-Infinity": "−∞" }; // how JSON carries what is no number

  // Four digits for the eye, and a true minus sign.
  function short(x) {
    if (typeof x !== "number") return WORDS[x];
    const size = Math.abs(x);
    if (size !== 0 && (size < 1e-4 || size >= 1e7)) return x.toExponential(2).replaceAll("-", "−");
    return String(Number.isInteger(x) ? x : Number(x.toPrecision(4))).replace("-", "−");
  }

  const shapeOf = (array) => (array.shape.length ? array.shape.join("×") : "scalar");

  // ---- Colours of cells: below zero, zero, above zero

  let scale = null; // the theme's colours as numbers, since a canvas knows no variables
  function colourOf(x, most, strength = 1) {
    scale ??= ["--minus", "--zero", "--plus", "--ink"].map((name) => {
      const probe = make("span");
      document.body.append(probe);
      probe.style.color = `var(${name})`;
      const parts = getComputedStyle(probe).color.match(/[\d.]+/g).slice(0, 3).map(Number);
      probe.remove();
      return parts;
    });
    if (typeof x !== "number") return scale[3];
    const share = most ? Math.min(1, Math.abs(x) / most) * strength : 0;
    const end = scale[x < 0 ? 0 : 2];
    return scale[1].map((zero, i) => Math.round(zero + (end[i] - zero) * share));
  }

  const css = (parts) => `rgb(${parts.join(" ")})`;

  // ---- Arrays: small ones as tables, large ones as heat maps

  const largest = (array) => Math.max(0, ...array.values.filter((x) => typeof x === "number").map(Math.abs));

  function tableOf(array) {
    const most = largest(array);
    const body = make("tbody");
    for (let r = 0; r < array.rows; r++) {
      const row = make("tr");
      for (const x of array.values.slice(r * array.columns, (r + 1) * array.columns)) {
        const cell = make("td", { title: String(x) }, short(x));
        if (typeof x === "number") cell.style.backgroundColor = css(colourOf(x, most, 0.42));
        else cell.className = "no-number";
        row.append(cell);
      }
      body.append(row);
    }
    return make("div", { className: "scroll" }, make("table", {}, body));
  }

  function heatMapOf(array, name) {
    const { rows, columns, values } = array;
    const most = largest(array);
    const canvas = make("canvas", { width: columns, height: rows, tabIndex: 0, role: "application" });
    canvas.setAttribute("aria-roledescription", "heat map");
    canvas.setAttribute("aria-label", `${name}, ${shapeOf(array)}: arrow keys go from cell to cell`);
    const context = canvas.getContext("2d");
    const image = context.createImageData(columns, rows);
    values.forEach((x, i) => image.data.set([...colourOf(x, most), 255], 4 * i));
    context.putImageData(image, 0, 0);
    const side = Math.max(1, Math.min(16, Math.floor(300 / columns), Math.floor(220 / rows)));
    canvas.style.width = `${Math.max(columns * side, 24)}px`;
    canvas.style.height = `${Math.max(rows * side, 16)}px`;

    const mark = make("i", { className: "mark", hidden: true });
    const line = make("p", { className: "cell" }, "\u00a0");
    let row = 0;
    let column = 0;
    function point(r, c) {
      row = Math.max(0, Math.min(rows - 1, r));
      column = Math.max(0, Math.min(columns - 1, c));
      const block = values.length < array.shape.reduce((a, b) => a * b, 1) ? ", mean of a block" : "";
      const x = values[row * columns + column];
      line.textContent = `[${row}, ${column}]${block}  ${typeof x === "number" ? String(x).replace("-", "−") : WORDS[x]}`;
      mark.hidden = false;
      mark.style.left = `${(100 * column) / columns}%`;
      mark.style.top = `${(100 * row) / rows}%`;
      mark.style.width = `${100 / columns}%`;
      mark.style.height = `${100 / rows}%`;
    }
    canvas.addEventListener("pointermove", (event) => {
      const box = canvas.getBoundingClientRect();
      point(
        Math.floor(((event.clientY - box.top) / box.height) * rows),
        Math.floor(((event.clientX - box.left) / box.width) * columns),
      );
    });
    canvas.addEventListener("focus", () => point(row, column));
    for (const type of ["pointerleave", "blur"]) {
      canvas.addEventListener(type, () => {
        mark.hidden = true;
        line.textContent = "\u00a0";
      });
    }
    canvas.addEventListener("keydown", (event) => {
      const way = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!way) return;
      event.preventDefault();
      event.stopPropagation();
      point(row + way[0], column + way[1]);
      announce(line.textContent);
    });
    return [make("div", { className: "map" }, canvas, mark), line];
  }

  function legendOf(array) {
    const most = largest(array);
    if (!most) return "";
    return make("div", { className: "legend" }, short(-most), make("i"), `+${short(most)}`);
  }

  function summaryOf(array) {
    const list = make("dl", { className: "figures" });
    for (const [name, x] of Object.entries(array.summary)) {
      list.append(make("div", {}, make("dt", {}, name), make("dd", { title: String(x) }, short(x))));
    }
    return list;
  }

  function figureOf(symbol, name, place, legend = false) {
    const array = arrays[place];
    const called = name && name !== symbol ? `${name} · ` : "";
    const facts = ` ${called}${shapeOf(array)} ${array.dtype}`;
    const caption = make("figcaption", {}, make("b", {}, symbol), make("span", {}, facts));
    const figure = make("figure", {}, caption);
    figure.dataset.array = place;
    if (!array.values.length) figure.append(make("p", {}, "empty"));
    else if (!array.summary) figure.append(tableOf(array), legend ? legendOf(array) : "");
    else figure.append(...heatMapOf(array, symbol), legendOf(array), summaryOf(array));
    return figure;
  }

  // What scrolls can be reached by the keyboard.
  function reachable(container) {
    for (const box of container.querySelectorAll(".scroll, .equation")) {
      if (box.scrollWidth > box.clientWidth) {
        box.tabIndex = 0;
        box.setAttribute("role", "group");
        box.setAttribute("aria-label", box.closest("figure")?.querySelector("b").textContent ?? "Equation");
      } else {
        for (const name of ["tabindex", "role", "aria-label"]) box.removeAttribute(name);
      }
    }
  }

  // ---- The picture

  const view = $("view");
  const svg = view.querySelector("svg");
  svg.setAttribute("role", "group"); // with boxes that can be pressed it is more than an image
  const drawn = new Map(); // of each box: what it stands for
  const boxOf = (id) => {
    if (!drawn.has(id)) drawn.set(id, { element: $(id), tensor: null, operation: null });
    return drawn.get(id);
  };
  for (const tensor of tensors) for (const id of tensor.boxes) boxOf(id).tensor = tensor;
  for (const operation of operations) boxOf(operation.box).operation = operation;
  const arrows = new Map(); // of each arrow: the first step in which it lights up
  steps.forEach((step, i) => {
    for (const id of step.lit) if (!drawn.has(id) && !arrows.has(id)) arrows.set(id, i);
  });

  const sentBy = (tensor, n) => tensor.sent.filter(([i]) => i <= n); // what it has received by then
  const complete = (tensor, n) => tensor.sent.length > 0 && sentBy(tensor, n).length === tensor.sent.length;

  for (const box of drawn.values()) {
    box.element.setAttribute("tabindex", "0");
    box.element.setAttribute("role", "button");
    box.element.addEventListener("click", () => choose(box));
    box.element.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      event.stopPropagation();
      choose(box);
    });
  }

  // Jump to the step that fills a box: its value in the forward half, its gradient in the backward half.
  function choose({ tensor, operation }) {
    pause();
    const backward = steps[current].part === "backward";
    if (tensor) {
      chosen = tensor;
      const filled = tensor.sent.at(-1)?.[0];
      show(filled !== undefined && (backward || tensor.from === 0) ? filled : tensor.from);
    } else {
      show(backward && operation.back !== null ? operation.back : operation.from);
    }
  }

  function stateOf({ tensor, operation }, n) {
    if (operation) {
      const wait = operation.from > n;
      return { wait, label: wait ? `${operation.name}: not computed yet` : operation.name };
    }
    const wait = tensor.from > n;
    const [have, all] = [sentBy(tensor, n).length, tensor.sent.length];
    const filled = complete(tensor, n);
    let words = wait ? "not computed yet" : "";
    if (!wait && all) {
      words = filled ? "gradient complete" : have ? `gradient: ${have} of ${all} contributions` : "no gradient yet";
    }
    const what = `${tensor.name}, ${tensor.kind}, ${shapeOf(arrays[tensor.value])}`;
    return { wait, received: have > 0, filled, label: words ? `${what}: ${words}` : what };
  }

  function light(n) {
    const lit = new Set(steps[n].lit);
    for (const [id, box] of drawn) {
      const { wait, received, filled, label } = stateOf(box, n);
      const list = box.element.classList;
      list.toggle("waiting", wait);
      list.toggle("receiving", Boolean(received));
      list.toggle("filled", Boolean(filled));
      list.toggle("lit", lit.has(id));
      list.toggle("target", steps[n].target === id);
      list.toggle("chosen", chosen !== null && box.tensor === chosen);
      box.element.setAttribute("aria-label", label);
    }
    for (const [id, from] of arrows) {
      const edge = $(id);
      edge.classList.toggle("waiting", from > n);
      edge.classList.toggle("lit", lit.has(id));
    }
    follow(lit, steps[n].target);
  }

  // Bring what is lit into view; where it is larger than the frame, at least what the step fills.
  function follow(lit, target) {
    const frame = view.getBoundingClientRect();
    if (!lit.size || !frame.width) return;
    const around = (ids) => {
      const boxes = ids.map((id) => $(id).getBoundingClientRect());
      return (side, pick) => pick(...boxes.map((box) => box[side]));
    };
    const [all, filled] = [around([...lit]), around(target ? [target] : [...lit])];
    const move = (low, high, from, size) => {
      const end = from + size;
      const into = (a, b) => (a < from ? a - from - 12 : b > end ? Math.min(b - end + 12, a - from) : 0);
      const [a, b] = [all(low, Math.min), all(high, Math.max)];
      if (b - a <= size) return into(a, b);
      const by = (a + b) / 2 - from - size / 2;
      return by + into(filled(low, Math.min) - by, filled(high, Math.max) - by);
    };
    const left = move("left", "right", frame.left, view.clientWidth);
    const top = move("top", "bottom", frame.top, view.clientHeight);
    const hurry = timer && Number($("speed").value) < 500; // a glide would still be on its way when the next step comes
    if (left || top) view.scrollBy({ left, top, behavior: calm.matches || hurry ? "auto" : "smooth" });
  }

  // The picture is as wide as its frame unless its text would get too small; the buttons change that.
  const natural = svg.viewBox.baseVal.width;
  let zoom = 1;
  function resize(to) {
    zoom = Math.max(0.1, Math.min(4, to));
    svg.style.width = `${natural * zoom}px`;
    if (current >= 0) follow(new Set(steps[current].lit), steps[current].target);
  }
  const fitting = () =>
    Math.min((view.clientWidth - 2) / natural, (view.clientHeight - 2) / svg.viewBox.baseVal.height);
  const usual = () => Math.max(1.2, Math.min(1.5, (view.clientWidth - 2) / natural));
  $("smaller").addEventListener("click", () => resize(zoom / 1.25));
  $("larger").addEventListener("click", () => resize(zoom * 1.25));
  $("fit").addEventListener("click", () => resize(fitting()));
  addEventListener("resize", () => resize(usual()));

  let grip = null; // where a mouse has taken hold of the picture
  let dragged = 0; // how far it has moved it: a drag that ends on a box is no click
  view.addEventListener("pointerdown", (event) => {
    dragged = 0;
    if (event.pointerType === "mouse" && event.button === 0) grip = [event.clientX, event.clientY];
  });
  view.addEventListener("click", (event) => dragged > 5 && event.stopPropagation(), true);
  addEventListener("pointerup", () => (grip = null));
  addEventListener("pointermove", (event) => {
    if (!grip) return;
    dragged += Math.abs(grip[0] - event.clientX) + Math.abs(grip[1] - event.clientY);
    view.scrollBy(grip[0] - event.clientX, grip[1] - event.clientY);
    grip = [event.clientX, event.clientY];
  });

  // ---- One step

  const headlineOf = (n) => $(`step-${n}`).querySelector("a").textContent;

  function figures(container, heading, entries) {
    container.replaceChildren();
    if (entries.length) container.append(make("h3", {}, heading));
    for (const [symbol, name, place] of entries) container.append(figureOf(symbol, name, place));
  }

  function describe(n) {
    const step = steps[n];
    root.dataset.part = step.part;
    const half = steps.filter((other) => other.part === step.part);
    $("badge").textContent =
      step.part === "start" ? "Before the first step" : `${step.part}, ${half.indexOf(step) + 1} of ${half.length}`;
    const entry = $(`step-${n}`); // all that is said of a step stands in the list
    $("headline").textContent = headlineOf(n);
    $("called").textContent = entry.querySelector("small")?.textContent ?? "";
    const said = [...entry.querySelectorAll(".equation, .shapes, .note, .words, .rule")];
    $("explained").replaceChildren(...said.map((node) => node.cloneNode(true)));
    $("code").textContent = entry.querySelector(".code")?.textContent ?? "";
    $("code-box").hidden = !$("code").textContent;
    $("received").replaceChildren();
    if (step.total > 1) {
      const dots = make("span", { "aria-hidden": "true" });
      for (let i = 1; i <= step.total && step.total <= 12; i++) {
        dots.append(make("i", { className: i <= step.number ? "full" : "" }));
      }
      const words = `received ${step.number} of ${step.total} contributions`;
      $("received").append(make("p", { className: "received" }, dots, words));
    }
    figures($("going-in"), "Going in", step.in);
    figures($("coming-out"), step.part === "start" ? "Given" : "Coming out", step.out);
    reachable($("step"));
  }

  function describeChosen(n) {
    const section = $("chosen");
    section.hidden = chosen === null;
    section.replaceChildren();
    if (chosen === null) return;
    const close = make("button", { type: "button", ariaLabel: `Close ${chosen.name}` }, "Close");
    close.addEventListener("click", () => {
      chosen = null;
      show(n);
    });
    const go = make("div", { className: "go" });
    const stops = [[chosen.from, chosen.from ? "its value" : "what is given"], ...chosen.sent.map(([i]) => [i, "its gradient"])];
    for (const [i, what] of stops.slice(0, 12)) {
      const button = make("button", { type: "button", disabled: i === n }, `Step ${i}: ${what}`);
      button.addEventListener("click", () => show(i));
      go.append(button);
    }
    section.append(make("div", { className: "head" }, make("h2", {}, chosen.name), close), go);
    const pair = make("div", { className: "numbers" });
    section.append(pair);
    if (chosen.from <= n) pair.append(figureOf("value", "", chosen.value, true));
    else pair.append(make("p", { className: "quiet" }, `Its value is computed in step ${chosen.from}.`));
    const have = sentBy(chosen, n);
    const all = chosen.sent.length;
    if (have.length === all && all) pair.append(figureOf("gradient", "", chosen.gradient, true));
    else if (have.length) pair.append(figureOf(`gradient so far, ${have.length} of ${all} contributions`, "", have.at(-1)[1], true));
    else if (all) pair.append(make("p", { className: "quiet" }, `Its gradient is complete in step ${chosen.sent.at(-1)[0]}.`));
    else pair.append(make("p", { className: "quiet" }, "It needs no gradient."));
    reachable(section);
  }

  let waiting = 0;
  function announce(text) {
    clearTimeout(waiting);
    waiting = setTimeout(() => ($("announce").textContent = text), 150);
  }

  function show(to) {
    const n = Math.max(0, Math.min(last, to));
    $(`step-${current}`)?.removeAttribute("aria-current");
    current = n;
    const step = steps[n];
    describe(n);
    describeChosen(n);
    light(n);
    $(`step-${n}`).setAttribute("aria-current", "step");
    const where = `Step ${n} of ${last}`;
    const received = step.total > 1 ? `, received ${step.number} of ${step.total} contributions` : "";
    $("slider").value = n;
    $("slider").setAttribute("aria-valuetext", `${where}, ${step.part}: ${headlineOf(n)}`);
    $("where").textContent = where;
    $("first").disabled = $("back").disabled = n === 0;
    $("forth").disabled = $("last").disabled = n === last;
    if (location.hash !== `#step=${n}`) history.replaceState(null, "", `#step=${n}`);
    announce(`${where}, ${step.part}: ${headlineOf(n)}${received}. ${step.text}`);
  }

  // ---- The player

  function pause() {
    clearTimeout(timer);
    timer = 0;
    root.classList.remove("playing");
    $("play").setAttribute("aria-label", "Play");
  }

  function tick() {
    if (current === last) return pause();
    show(current + 1);
    timer = setTimeout(tick, Number($("speed").value));
  }

  function play() {
    if (timer) return pause();
    root.classList.add("playing");
    $("play").setAttribute("aria-label", "Pause");
    if (current === last) show(0);
    timer = setTimeout(tick, Number($("speed").value) / 3);
  }

  function go(to) {
    pause();
    show(to);
  }

  $("first").addEventListener("click", () => go(0));
  $("back").addEventListener("click", () => go(current - 1));
  $("play").addEventListener("click", play);
  $("forth").addEventListener("click", () => go(current + 1));
  $("last").addEventListener("click", () => go(last));
  $("slider").addEventListener("input", () => go(Number($("slider").value)));

  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("select, pre, .scroll[tabindex], .equation[tabindex]")) return; // these use the keys
    if (event.key === " " ? event.target.closest("button, summary, a") : event.target === $("slider")) return;
    const act = {
      ArrowLeft: () => go(current - 1),
      ArrowRight: () => go(current + 1),
      Home: () => go(0),
      End: () => go(last),
      " ": play,
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });

  const linked = () => Number(/^#step=(\d+)$/.exec(location.hash)?.[1] ?? current);
  addEventListener("hashchange", () => {
    if (linked() !== current) go(linked());
  });
  $("steps").addEventListener("click", (event) => {
    if (event.target.closest("a")) $("player").scrollIntoView({ behavior: calm.matches ? "auto" : "smooth" });
  });

  // ---- Light and dark

  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  function repaint() {
    scale = null;
    $("theme").setAttribute("aria-pressed", String(isDark()));
    if (current >= 0) show(current);
  }
  $("theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    repaint();
  });
  system.addEventListener("change", repaint);

  // ---- Begin

  $("slider").max = last;
  const share = (part) => steps.filter((step) => step.part === part).length;
  $("part-forward").style.flexGrow = share("forward") + 0.5;
  $("part-backward").style.flexGrow = share("backward");
  resize(usual());
  repaint();
  show(Math.max(0, linked()));
})();
