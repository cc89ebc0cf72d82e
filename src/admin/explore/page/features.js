// All features of the caller, and one of them: what it gets, why, and what it is made of.

const featureView = (() => {
  const search = el("input", {
    type: "search", id: "search", "aria-label": "Search features", autocomplete: "off", spellcheck: "false",
    placeholder: "Search features, or tag:pii",
  });
  const filters = new Filters("Permissions", Object.keys(PERMISSIONS).map((value) => (
    { value, css: PERMISSIONS[value].css, mark: sign(value) })), () => load());
  const status = el("p", { class: "status", "aria-live": "polite" });
  const detail = el("article", { class: "detail", "aria-live": "off", tabindex: "-1", id: "detail" });

  const list = new WindowedList({
    label: "Features",
    height: 56,
    load: (offset, limit, signal) => ask("features",
      { caller: state.caller, search: search.value.trim(), only: filters.only(), offset, limit }, signal),
    draw: (row) => [
      el("span", { class: "row-name name" }, marked(row.feature, search.value)),
      el("span", { class: "row-note" }, badge(row.permission, "small"),
        el("span", { class: "row-why" }, row.key ? "key · " : "", row.tag ? `tag ${row.tag}` : RULES[row.rule] ?? ""))],
    chosen: (row) => {
      wanted = row.feature;
      soon(row.feature);
    },
    opened: (row) => open(row.feature, true),
    empty: () => (search.value.trim() ? "No feature has that name." : "There is no feature here."),
  });

  const load = newest(async () => {
    if (state.caller === null) {
      list.clear();
      filters.count({});
      fill(status, "Choose a role, or paste claims.");
      fill(detail);
      return;
    }
    const first = await list.reset();
    if (first === null) return;
    fine();
    filters.count(first.counts);
    const all = state.summary?.features ?? first.total;
    fill(status, first.total === all ? plural(first.total, "feature") : `${first.total.toLocaleString("en")} of ${plural(all, "feature")}`,
      first.total > MOST ? ": more than can be scrolled through, search for some" : "");
    const at = first.rows.findIndex((row) => row.feature === wanted);
    if (at >= 0) list.select(at, false);
    else if (!wanted && first.rows.length) list.select(0);
  });

  // What is shown, or is about to be.
  let wanted = null;
  const fetchOne = newest(async (signal, feature, focus) => {
    // The caller may have gone meanwhile.
    if (state.caller === null) return;
    wanted = feature;
    detail.setAttribute("aria-busy", "true");
    let answer;
    try {
      answer = await ask("feature", { caller: state.caller, feature }, signal);
    } finally {
      detail.removeAttribute("aria-busy");
    }
    fine();
    draw(answer);
    detail.scrollTop = 0;
    if (focus) detail.focus();
  });
  const open = (feature, focus) => fetchOne(feature, focus);
  const soon = later(120, (feature) => open(feature, false));

  function tags(node) {
    if (!node.tags.length) return el("p", { class: "note" }, "It has no tag.");
    const decided = tagOf(node);
    return el("ul", { class: "tags" }, node.tags.map((tag) => el("li", { class: tag.tag === decided ? "decided" : null },
      el("span", { class: "tag" }, tag.tag), tag.tag === decided ? el("strong", null, "decided") : null,
      el("span", { class: "place" }, tag.imported ? "catalogue " : "", tag.pattern ? `by ${tag.pattern} ` : "", tag.place))));
  }

  function sources(node) {
    return el("ul", { class: "tags" }, node.sources.map((source) => el("li", { class: source.barred_for.length ? "decided" : null },
      el("span", { class: "tag" }, source.source),
      source.barred_for.length ? el("strong", null, `out of reach for ${source.barred_for.join(", ")}`) : null,
      el("span", { class: "place" }, source.place))));
  }

  function besides(node, shadow) {
    if (!shadow) return null;
    const same = shadow.permission === node.permission;
    if (same) return el("p", { class: "quietly" }, "Under the shadow policy the same: ", badge(shadow.permission, "small"), el("span", { class: "why" }, shadow.why));
    return el("section", { class: "besides differs" }, el("h3", null, "Under the shadow policy"),
      el("p", null, "It would be ", badge(shadow.permission, "small"), el("span", { class: "why" }, shadow.why)));
  }

  function draw(answer) {
    const { explanation } = answer;
    const root = explanation.outputs[0].node;
    const node = explanation.nodes[root];
    const { readers } = answer;
    fill(detail,
      el("header", { class: "heading" }, el("div", null, el("h2", { class: "name" }, node.feature),
        el("p", { class: "verdict" }, badge(node.permission, "large"), el("span", null, PERMISSIONS[node.permission]?.says ?? ""))),
      el("p", { class: "actions" },
        el("button", { type: "button", on: { click: () => queryView.add("outputs", node.feature) } }, "Ask for it in a query"),
        el("button", { type: "button", on: { click: () => queryView.add("supplied", node.feature) } }, "Supply it in a query"))),
      el("div", { class: "because" },
        el("p", null, el("strong", null, `Rule ${node.rule}`), `: ${RULES[node.rule] ?? ""}`, node.key ? ". It is a key, which callers give." : "."),
        el("p", { class: "why" }, node.why),
        el("p", { class: "note" }, node.roles.length ? `Decided for ${node.roles.join(", ")}` : "The caller has no role", explanation.roles.length > 1 ? ` (${explanation.combine})` : "",
          node.place ? ["; named at ", el("span", { class: "place" }, node.place)] : "")),
      besides(node, answer.shadow),
      el("section", null, picture(explanation, root, (feature) => open(feature, true))),
      el("div", { class: "columns" },
        el("section", null, el("h3", null, "Tags"), tags(node)),
        node.sources.length ? el("section", null, el("h3", null, "Data sources"), sources(node)) : null,
        el("section", null, el("h3", null, "Read by"),
          readers.total ? el("ul", { class: "readers" }, readers.features.map((feature) => el("li", null,
            el("button", { type: "button", class: "link name", on: { click: () => open(feature, true) } }, feature)))) : el("p", { class: "note" }, "No feature reads it."),
          readers.total > readers.features.length ? el("p", { class: "note" }, `and ${readers.total - readers.features.length} more`) : null)));
  }

  search.addEventListener("input", later(120, () => {
    wanted = null;
    load();
  }));
  search.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") {
      event.preventDefault();
      list.box.focus();
      list.select(Math.max(0, list.selected));
    } else if (event.key === "Enter" && list.row(Math.max(0, list.selected))) {
      open(list.row(Math.max(0, list.selected)).feature, true);
    } else if (event.key === "Escape" && search.value) {
      event.preventDefault();
      search.value = "";
      load();
    }
  });
  detail.addEventListener("keydown", (event) => {
    if (event.key === "Escape") list.box.focus();
  });
  list.box.addEventListener("keydown", (event) => {
    if (event.key === "Escape") search.focus();
  });

  return {
    start(panel) {
      panel.append(el("div", { class: "side" }, el("div", { class: "find" }, search, el("kbd", { "aria-hidden": "true" }, "/")), filters.box, status, list.box), detail);
    },
    refresh() {
      // Of another caller now, unless something else was chosen meanwhile.
      load().then(() => {
        if (wanted !== null && state.caller !== null) open(wanted, false);
      });
    },
    open(feature) {
      selectTab("features");
      open(feature, true);
    },
    search,
  };
})();
