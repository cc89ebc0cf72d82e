// A query tried: what it would be answered, why, and what the shadow policy would say.

const queryView = (() => {
  const pickers = {};
  for (const [name, label, placeholder] of [["outputs", "Outputs", "what is asked for…"], ["supplied", "Supplied", "what the caller gives…"]]) {
    pickers[name] = new Picker({ label, placeholder, source: featuresLike, free: true, changed: () => run() });
  }
  const result = el("div", { class: "detail", "aria-live": "polite", tabindex: "-1" });

  const run = newest(async (signal) => {
    const [outputs, supplied] = [pickers.outputs.values, pickers.supplied.values];
    if (state.caller === null || outputs.length + supplied.length === 0) {
      fill(result, el("p", { class: "hint" }, state.caller === null ? "Choose a role, or paste claims." : "Name the features that the query asks for, and what the caller supplies. It is decided as the sidecar decides it; nothing is sent to the feature server."));
      return;
    }
    const answer = await ask("query", { caller: state.caller, outputs, supplied }, signal);
    fine();
    draw(answer);
  });

  function verdict(permitted, refused) {
    return el("p", { class: `banner ${permitted ? "yes" : "no"}` }, sign(permitted ? "Allow" : "Deny"),
      el("strong", null, permitted ? "Permitted" : "Refused"), permitted ? "The query would be answered." : `Because of ${refused.join(", ")}`);
  }

  function beside(answer) {
    const { shadow } = answer;
    if (!shadow) return null;
    const same = shadow.permitted === answer.permitted && shadow.refused.join("\n") === answer.refused.join("\n");
    return el("section", { class: `besides ${same ? "" : "differs"}` }, el("h3", null, "Under the shadow policy"),
      same ? el("p", null, "The same.") : verdict(shadow.permitted, shadow.refused));
  }

  function draw(answer) {
    const { explanation } = answer;
    const place = el("div", null);
    const look = (output) => fill(place, picture(explanation, output.node, (feature) => featureView.open(feature), `Lineage of ${output.feature}`));
    const outputs = explanation.outputs.map((output) => {
      const node = explanation.nodes[output.node];
      return el("tr", { class: output.returnable ? null : "no" },
        el("th", { scope: "row" }, el("button", { type: "button", class: "link name", on: { click: () => look(output) } }, output.feature)),
        el("td", null, badge(node.permission, "small")), el("td", null, output.returnable ? "returned" : "refused"), el("td", null, node.why));
    });
    const given = explanation.supplied.map((one) => el("tr", { class: one.refused ? "no" : null },
      el("th", { scope: "row", class: "name" }, one.feature), el("td", null, badge(one.permission, "small")),
      el("td", null, one.refused ? "refused" : one.counts ? "counts" : "does not count"), el("td", null, one.why)));
    const table = (heading, rows) => rows.length ? el("section", null, el("h3", null, heading), el("div", { class: "scroll" }, el("table", null,
      el("thead", null, el("tr", null, ["Feature", "Permission", "Outcome", "Why"].map((head) => el("th", { scope: "col" }, head)))), el("tbody", null, rows)))) : null;
    const first = explanation.outputs.find((output) => !output.returnable) ?? explanation.outputs[0];
    if (first) look(first);
    fill(result, verdict(answer.permitted, answer.refused),
      el("p", { class: "note" }, answer.roles.length ? `For ${answer.roles.join(", ")}` : "The caller has no role", answer.roles.length > 1 ? ` (${explanation.combine})` : "",
        explanation.dropped.length ? `; ${explanation.dropped.join(", ")} may not use what is supplied, and drops out` : ""),
      beside(answer), table("Outputs", outputs), table("Supplied", given), place);
  }

  return {
    start(panel) {
      panel.append(el("div", { class: "side form" },
        el("h2", null, "Outputs"), pickers.outputs.box, el("h2", null, "Supplied"), pickers.supplied.box,
        el("p", { class: "actions" }, el("button", { type: "button", class: "main", on: { click: () => run() } }, "Try it"),
          el("button", { type: "button", on: { click: () => { pickers.outputs.set([]); pickers.supplied.set([]); run(); } } }, "Clear"))), result);
    },
    add(kind, feature) {
      selectTab("query");
      if (pickers[kind].values.includes(feature)) run();
      else pickers[kind].add(feature);
    },
    refresh: () => run(),
    focus: () => pickers.outputs.input.focus(),
  };
})();
