// Who asks: roles that are chosen, or claims that go through the bindings.

const rolePicker = new Picker({
  label: "Roles of the caller",
  placeholder: "add a role…",
  source: async (search, signal) => {
    const { rows } = await ask("roles", { search, limit: 20 }, signal);
    return rows.map((row) => ({ value: row.role, note: el("span", { class: "note" }, `default ${row.default}`) }));
  },
  changed: (values) => setCaller(values.length ? { roles: values } : null),
});

function setCaller(caller) {
  state.caller = caller;
  fine();
  refresh();
}

/** From elsewhere in the page. */
function useRoles(roles) {
  byRoles(true);
  rolePicker.set(roles);
  setCaller({ roles });
}

function byRoles(yes) {
  byId("by-roles").setAttribute("aria-pressed", yes ? "true" : "false");
  byId("by-claims").setAttribute("aria-pressed", yes ? "false" : "true");
  show(byId("roles"), yes);
  show(byId("claims"), !yes);
  show(byId("given"), !yes && state.caller?.claims !== undefined);
}

const useClaims = newest(async (signal) => {
  fine();
  let claims;
  try {
    claims = JSON.parse(byId("claims-text").value);
  } catch (error) {
    throw new Problem("CLAIMS", `These are no claims: ${error.message}`);
  }
  if (claims === null || typeof claims !== "object" || Array.isArray(claims)) {
    throw new Problem("CLAIMS", "These are no claims: they are one JSON object.");
  }
  const answer = await ask("caller", { caller: { claims } }, signal);
  drawBindings(answer);
  setCaller({ claims });
  const roles = answer.roles.map((role) => el("span", { class: "chip" }, role));
  fill(byId("given"), roles.length ? ["→ ", ...roles] : "→ no role: everything is denied");
  show(byId("given"), true);
});

function drawBindings(answer) {
  const claim = (seen) => {
    const wanted = seen.wanted.join(" or ");
    const outcomes = {
      matched: ["is ", seen.by], missing: ["is missing, wanted ", wanted], not_in_list: ["is a list without ", wanted],
      other_kind: [`is ${seen.found}, wanted `, wanted], other_value: ["is not ", wanted],
    };
    const [text, value] = outcomes[seen.outcome] ?? ["", ""];
    return el("li", { class: seen.outcome === "matched" ? "yes" : "no" },
      el("code", null, seen.claim), ` ${text}`, el("code", null, value));
  };
  const one = (binding) => el("li", { class: binding.matched ? "yes" : "no" },
    el("p", null, el("strong", null, binding.matched ? "✓ gives " : "✗ would give "), binding.roles.join(", "),
      el("span", { class: "place" }, binding.place)),
    el("ul", null, binding.claims.map(claim)));
  fill(byId("bindings"), el("h2", null, "Bindings"),
    answer.bindings.length ? el("ol", null, answer.bindings.map(one)) : el("p", null, "The policy has none."),
    answer.more_bindings ? el("p", { class: "note" }, `and ${plural(answer.more_bindings, "further binding")} without a match here`) : null);
}

function startCaller() {
  byId("roles").append(rolePicker.box);
  byId("by-roles").addEventListener("click", () => {
    byRoles(true);
    setCaller(rolePicker.values.length ? { roles: rolePicker.values } : null);
  });
  byId("by-claims").addEventListener("click", () => {
    byRoles(false);
    byId("claims-text").focus();
  });
  byId("claims-use").addEventListener("click", () => useClaims());
}
