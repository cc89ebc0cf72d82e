// The shadow policy beside the live one, and what was refused lately.

const shadowView = (() => {
  const search = el("input", { type: "search", "aria-label": "Search differences", autocomplete: "off", spellcheck: "false", placeholder: "Search differences" });
  const filters = new Filters("Changes", [{ value: "wider", mark: "▲ " }, { value: "narrower", mark: "▼ " }], () => load());
  const status = el("p", { class: "status", "aria-live": "polite" });
  const detail = el("article", { class: "detail", tabindex: "-1" });
  const list = new WindowedList({
    label: "Features that differ",
    height: 66,
    load: (offset, limit, signal) => ask("compare", { caller: state.caller, search: search.value.trim(), only: filters.only(), offset, limit }, signal),
    draw: (row) => [
      el("span", { class: "row-name name" }, el("span", { class: "change", title: row.change }, row.change === "wider" ? "▲ " : "▼ "), marked(row.feature, search.value)),
      el("span", { class: "row-note" }, badge(row.live.permission, "small"), el("span", { "aria-hidden": "true" }, "→"), badge(row.shadow.permission, "small"))],
    chosen: (row) => soon(row),
    opened: (row) => open(row, true),
    empty: () => "For this caller the shadow policy gives the same.",
  });

  const load = newest(async () => {
    if (state.caller === null || !state.summary?.shadow) {
      list.clear();
      filters.count({});
      fill(status);
      fill(detail, el("p", { class: "hint" }, state.summary?.shadow ? "Choose a role, or paste claims." : "The configuration names no shadow policy. With `shadow: {policies: …}` a candidate is decided beside the live one, and shown here."));
      return;
    }
    const first = await list.reset();
    if (first === null) return;
    fine();
    filters.count(first.counts);
    const gone = first.missing.length ? `; the shadow policy has no role ${first.missing.join(", ")}` : "";
    fill(status, `${plural(first.counts.wider, "feature")} wider, ${first.counts.narrower.toLocaleString("en")} narrower${gone}`);
    if (first.rows.length) list.select(0);
    else fill(detail, el("p", { class: "hint" }, "Nothing differs."));
  });

  const open = newest(async (signal, row, focus) => {
    if (state.caller === null) return;
    let answer = null;
    if (row.live.known) answer = await ask("feature", { caller: state.caller, feature: row.feature }, signal);
    const side = (heading, one, why) => el("section", { class: "half" }, el("h3", null, heading), el("p", { class: "verdict" }, badge(one.permission, "large")),
      el("p", null, el("strong", null, `Rule ${one.rule}`), one.known ? `: ${RULES[one.rule] ?? ""}.` : ": the policy does not know it."), why ? el("p", { class: "why" }, why) : null);
    const node = answer?.explanation.nodes[answer.explanation.outputs[0].node];
    fill(detail, el("header", null, el("h2", { class: "name" }, row.feature),
      el("p", null, row.change === "wider" ? "▲ The shadow policy gives more of it." : "▼ The shadow policy gives less of it.")),
    el("div", { class: "halves" }, side("Live", row.live, node?.why), side("Shadow", row.shadow, answer?.shadow?.why)),
    answer ? picture(answer.explanation, answer.explanation.outputs[0].node, (feature) => featureView.open(feature)) : null);
    if (focus) detail.focus();
  });
  const soon = later(120, (row) => open(row, false));
  search.addEventListener("input", later(120, () => load()));
  search.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown") return;
    event.preventDefault();
    list.box.focus();
    list.select(Math.max(0, list.selected));
  });
  detail.addEventListener("keydown", (event) => {
    if (event.key === "Escape") list.box.focus();
  });

  return {
    start(panel) {
      panel.append(el("div", { class: "side" }, el("div", { class: "find" }, search, el("kbd", { "aria-hidden": "true" }, "/")), filters.box, status, list.box), detail);
    },
    refresh: () => load(),
    search,
  };
})();

const refusalView = (() => {
  const list = el("ol", { class: "refusals", tabindex: "0", "aria-label": "Recent refusals" });
  const status = el("p", { class: "status", "aria-live": "polite" });
  const again = el("input", { type: "checkbox", id: "again", checked: true });
  let newestId = null;

  const load = newest(async (signal) => {
    const answer = await ask("refusals", undefined, signal);
    const first = answer.refusals[0]?.decision_id ?? "";
    if (first === newestId) return;
    newestId = first;
    fill(status, answer.seen ? `${plural(answer.seen, "refusal")} since the start; the newest ${plural(Math.min(answer.kept, answer.refusals.length), "is", "are").replace(/^1 is$/, "one is")} here, in memory alone` : "Nothing was refused since the start.");
    fill(list, answer.refusals.map(draw));
  });

  function draw(one) {
    const feature = (refused) => el("li", null,
      el("button", { type: "button", class: "link name", title: "Explain it for these roles", on: { click: () => { if (one.roles.length) useRoles(one.roles); featureView.open(refused.feature); } } }, refused.feature),
      badge(refused.permission, "small"), el("span", { class: "note" }, refused.tag ? `tag ${refused.tag}` : RULES[refused.rule] ?? ""));
    const fact = (name, value, css) => value === null || value === undefined || value === "" ? null : el("span", { class: "fact" }, el("span", { class: "fact-name" }, name), el("span", { class: css ?? null }, value));
    const when = new Date(one.time);
    const day = when.toLocaleDateString("en-CA");
    return el("li", { class: "refusal" },
      el("p", { class: "refusal-head" }, el("time", { datetime: one.time, title: one.time }, `${day} ${when.toLocaleTimeString("en-GB")}`),
        el("strong", { class: "name" }, one.route), el("span", { class: `tag ${one.decision}` }, one.decision === "refused" ? `refused, ${one.status}` : `cut, ${one.status}`),
        one.suspended ? el("span", { class: "tag" }, "suspended: enforcement is audit") : null),
      el("ul", { class: "refused" }, one.refused.map(feature), one.more ? el("li", { class: "note" }, `and ${one.more} more`) : null),
      el("p", { class: "facts-row" }, fact("roles", one.roles.join(", ") + (one.more_roles ? ` and ${one.more_roles} more` : "")), fact("caller", one.caller, "name"),
        fact("decision", one.decision_id, "name"), fact("trace", one.trace_id, "name"), fact("generation", one.generation)));
  }

  return {
    start(panel) {
      panel.append(el("div", { class: "bar" }, status, el("label", { for: "again" }, again, "every 5 seconds"),
        el("button", { type: "button", on: { click: () => { newestId = null; load(); } } }, "Look now")), list);
      setInterval(() => {
        if (again.checked && !panel.hidden && !document.hidden) load();
      }, 5000);
    },
    refresh: () => load(),
  };
})();
