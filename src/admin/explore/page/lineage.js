// The lineage as a picture: the feature at the left, what it reads in columns to the right. A layered layout: depth by the
// longest way, lines that pass a column bent around it, crossings lessened by sweeps.

const BOX = { width: 248, height: 66, gapX: 52, gapY: 16, bend: 10 };

/** What is reached from one node, in columns. */
function layered(nodes, root) {
  const order = [];
  const seen = new Set();
  const visit = (start) => {
    const stack = [[start, 0]];
    seen.add(start);
    while (stack.length) {
      const top = stack[stack.length - 1];
      const reads = nodes[top[0]].reads;
      if (top[1] < reads.length) {
        const next = reads[top[1]].node;
        top[1] += 1;
        if (!seen.has(next)) {
          seen.add(next);
          stack.push([next, 0]);
        }
      } else {
        order.push(top[0]);
        stack.pop();
      }
    }
  };
  visit(root);
  order.reverse();
  const depth = new Map(order.map((number) => [number, 0]));
  for (const number of order) {
    for (const read of nodes[number].reads) depth.set(read.node, Math.max(depth.get(read.node), depth.get(number) + 1));
  }
  const columns = [];
  const put = (item, column) => (columns[column] ??= []).push(item);
  const items = new Map();
  for (const number of order) {
    const item = { number, node: nodes[number], left: [], right: [], height: BOX.height };
    items.set(number, item);
    put(item, depth.get(number));
  }
  const lines = [];
  for (const number of order) {
    const reads = new Map();
    for (const read of nodes[number].reads) {
      const known = reads.get(read.node);
      if (known) known.join ||= read.join;
      else reads.set(read.node, { ...read });
    }
    for (const read of reads.values()) {
      const from = items.get(number);
      const way = [from];
      for (let column = depth.get(number) + 1; column < depth.get(read.node); column += 1) {
        const bend = { left: [], right: [], height: BOX.bend };
        put(bend, column);
        way.push(bend);
      }
      way.push(items.get(read.node));
      for (let at = 1; at < way.length; at += 1) {
        way[at - 1].right.push(way[at]);
        way[at].left.push(way[at - 1]);
      }
      lines.push({ way, join: read.join, decides: nodes[number].because.includes(read.feature), permission: nodes[read.node].permission });
    }
  }
  return { columns, lines };
}

function mean(list, of) {
  return list.length ? list.reduce((sum, one) => sum + of(one), 0) / list.length : null;
}

/** Places for all items. */
function placed(columns) {
  const rank = (column) => column.forEach((item, at) => (item.rank = at));
  columns.forEach(rank);
  for (let sweep = 0; sweep < 8; sweep += 1) {
    const side = sweep % 2 === 0 ? "left" : "right";
    const over = side === "left" ? columns : [...columns].reverse();
    for (const column of over) {
      for (const item of column) item.wish = mean(item[side], (other) => other.rank) ?? item.rank;
      column.sort((one, two) => one.wish - two.wish || one.rank - two.rank);
      rank(column);
    }
  }
  columns.forEach((column, at) => {
    let y = 0;
    for (const item of column) {
      item.x = at * (BOX.width + BOX.gapX);
      item.y = y;
      y += item.height + BOX.gapY;
    }
  });
  const middle = (item) => item.y + item.height / 2;
  for (let pass = 0; pass < 12; pass += 1) {
    const over = pass % 2 === 0 ? columns : [...columns].reverse();
    for (const column of over) {
      for (const item of column) {
        const wish = mean([...item.left, ...item.right], middle);
        item.wish = (wish ?? middle(item)) - item.height / 2;
      }
      let last = -Infinity;
      for (const item of column) {
        item.y = Math.max(item.wish, last);
        last = item.y + item.height + BOX.gapY;
      }
      // What was pushed down moves up again, all together.
      const shift = mean(column, (item) => item.y - item.wish) ?? 0;
      for (const item of column) item.y -= shift;
    }
  }
  const top = Math.min(...columns.flat().map((item) => item.y));
  for (const item of columns.flat()) item.y -= top;
}

function shortened(text, most) {
  const letters = [...text];
  if (letters.length <= most) return text;
  const head = Math.ceil((most - 1) * 0.6);
  return `${letters.slice(0, head).join("")}…${letters.slice(letters.length - (most - 1 - head)).join("")}`;
}

function ended(text, most) {
  const letters = [...text];
  return letters.length <= most ? text : `${letters.slice(0, most - 1).join("")}…`;
}

/** The namespace of a name, and the rest. */
function parted(name) {
  const at = Math.max(name.lastIndexOf(":"), name.lastIndexOf("."));
  return at > 0 && at < name.length - 1 ? [name.slice(0, at + 1), name.slice(at + 1)] : ["", name];
}

function tagOf(node) {
  return [1, 3, 7].includes(node.rule) && node.own?.tag ? node.own.tag : null;
}

function drawBox(item, first, open) {
  const { node } = item;
  const [space, name] = parted(node.feature);
  const tag = tagOf(node);
  const does = node.supplied ? "supplied" : tag ? `tag ${tag}` : `rule ${node.rule}`;
  const group = svg("g", {
    class: `box ${PERMISSIONS[node.permission]?.css ?? ""} ${first ? "first" : ""}`, role: "button", tabindex: "0",
    transform: `translate(${item.x} ${item.y})`,
    "aria-label": `${node.feature}: ${node.permission}, rule ${node.rule}, ${node.why}`,
    on: {
      click: () => open(node.feature),
      keydown: (event) => {
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          open(node.feature);
        }
      },
    },
  },
  svg("title", null, `${node.feature}\n${node.permission}, rule ${node.rule}: ${RULES[node.rule] ?? ""}\n${node.why}`),
  svg("rect", { class: "back", width: BOX.width, height: BOX.height, rx: 9 }),
  svg("rect", { class: "edge", width: 5, height: BOX.height - 18, x: 0, y: 9, rx: 2.5 }),
  svg("text", { class: "space", x: 16, y: 20 }, shortened(space, 32)),
  svg("text", { class: "name", x: 16, y: space ? 36 : 29 }, shortened(name, 27)),
  sign(node.permission, { x: 15, y: 45, width: 13, height: 13 }),
  svg("text", { class: "says", x: 33, y: 55.5 }, node.permission,
    svg("tspan", { class: "does" }, ` · ${ended(does, 28 - node.permission.length)}`)),
  node.key ? svg("text", { class: "mark", x: BOX.width - 12, y: 20, "text-anchor": "end" }, "key") : null,
  node.left_out ? svg("text", { class: "mark", x: BOX.width + 8, y: BOX.height / 2 + 4 }, `+${node.left_out} more`) : null);
  return group;
}

function drawLine(line, ends) {
  const points = line.way.flatMap((item, at) => {
    const y = item.y + item.height / 2;
    if (at === 0) return [[item.x + BOX.width, y]];
    if (at === line.way.length - 1) return [[item.x, y]];
    return [[item.x, y], [item.x + BOX.width, y]];
  });
  let path = `M${points[0][0] + 7} ${points[0][1]}`;
  for (let at = 1; at < points.length; at += 1) {
    const [x, y] = points[at];
    const [fromX, fromY] = at === 1 ? [points[0][0] + 7, points[0][1]] : points[at - 1];
    const half = (fromX + x) / 2;
    path += at % 2 === 0 ? `L${x} ${y}` : `C${half} ${fromY} ${half} ${y} ${x} ${y}`;
  }
  const css = line.decides ? `decides ${PERMISSIONS[line.permission]?.css ?? ""}` : "";
  return svg("g", { class: `line ${css} ${line.join ? "join" : ""}` },
    svg("path", { class: "way", d: path }),
    svg("path", { class: "head", d: `M${points[0][0] + 1} ${points[0][1]}l8 -4.5v9z` }));
}

function legend() {
  const stroke = (css, text) => el("span", { class: "legend-line" },
    svg("svg", { viewBox: "0 0 28 8", class: `line ${css}`, "aria-hidden": "true" }, svg("path", { class: "way", d: "M0 4h28" })), text);
  return el("p", { class: "legend" }, Object.keys(PERMISSIONS).map((name) => badge(name, "small")),
    stroke("", "input"), stroke("join", "join"), stroke("decides deny", "what decided"));
}

/** The picture of what one output is computed from, with its text form. `open(feature)`: one was chosen. */
function picture(explanation, root, open, title = "Lineage") {
  const { nodes } = explanation;
  if (!nodes[root]) return el("p", null, "There is no lineage.");
  const { columns, lines } = layered(nodes, root);
  placed(columns);
  const all = columns.flat();
  const spare = all.some((item) => item.node?.left_out) ? 80 : 0;
  const width = columns.length * (BOX.width + BOX.gapX) - BOX.gapX + spare + 4;
  const height = Math.max(...all.map((item) => item.y + item.height)) + 4;
  const drawing = svg("svg", {
    class: "lineage", viewBox: `-2 -2 ${width} ${height}`, role: "group", "aria-label": `Lineage of ${nodes[root].feature}`,
  }, lines.filter((line) => !line.decides).map((line) => drawLine(line)), lines.filter((line) => line.decides).map((line) => drawLine(line)),
  all.filter((item) => item.node).map((item) => drawBox(item, item.number === root, open)));
  const frame = el("div", { class: "frame", tabindex: "-1" }, drawing);
  let scale = 0;
  const draw = () => {
    const fit = Math.min(1, (frame.clientWidth - 26) / width);
    const used = scale || Math.max(fit, 0.74);
    drawing.style.width = `${width * used}px`;
    drawing.style.height = `${height * used}px`;
  };
  new ResizeObserver(draw).observe(frame);
  const step = (by) => () => {
    const now = drawing.getBoundingClientRect().width / width;
    scale = by === 0 ? 0 : Math.min(2, Math.max(0.25, now * by));
    draw();
  };
  const reached = all.filter((item) => item.node).map((item) => item.node);
  const shown = plural(reached.length, "feature");
  return el("figure", { class: "picture" },
    el("figcaption", null, el("h3", null, title), el("span", { class: "note" }, `${shown}; what is read stands to the right of its reader`),
      el("span", { class: "zoom" },
        el("button", { type: "button", class: "quiet", "aria-label": "Smaller", on: { click: step(0.8) } }, "−"),
        el("button", { type: "button", class: "quiet", on: { click: step(0) } }, "Fit"),
        el("button", { type: "button", class: "quiet", "aria-label": "Larger", on: { click: step(1.25) } }, "+"))),
    frame, legend(), asTable(reached, open));
}

/** The same for those who read it. */
function asTable(nodes, open) {
  const row = (node) => el("tr", null,
    el("th", { scope: "row" }, el("button", { type: "button", class: "link name", on: { click: () => open(node.feature) } }, node.feature)),
    el("td", null, badge(node.permission, "small")), el("td", null, node.rule), el("td", null, node.why),
    el("td", { class: "name" }, node.reads.map((read) => read.feature).join(", ") || "nothing", node.left_out ? ` and ${node.left_out} more` : ""));
  const details = el("details", { class: "text" }, el("summary", null, "The same as a table"));
  details.addEventListener("toggle", () => {
    if (!details.open || details.childElementCount > 1) return;
    details.append(el("div", { class: "scroll" }, el("table", null,
      el("thead", null, el("tr", null, ["Feature", "Permission", "Rule", "Why", "Reads"].map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", null, nodes.map(row)))));
  });
  return details;
}
