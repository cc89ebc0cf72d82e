// What holds the views together: the tabs, the keys, the theme, the token, and what happens at a reload of the policy.

const views = { features: featureView, query: queryView, shadow: shadowView, refusals: refusalView };
let current = "features";

function selectTab(name, focus) {
  current = name;
  for (const one of Object.keys(views)) {
    const tab = byId(`tab-${one}`);
    tab.setAttribute("aria-selected", one === name ? "true" : "false");
    tab.tabIndex = one === name ? 0 : -1;
    show(byId(`panel-${one}`), one === name);
  }
  if (focus) byId(`tab-${name}`).focus();
}

/** The view that is seen, anew. */
function refresh() {
  views[current].refresh();
}

function drawSummary() {
  const one = state.summary;
  fill(byId("facts"),
    el("span", null, "policy ", el("code", null, one.policy_digest.split("+")[0])), el("span", null, `generation ${one.generation}`),
    el("span", null, plural(one.features, "feature")), el("span", null, plural(one.roles, "role")),
    one.audit_mode ? el("span", { class: "warn" }, "enforcement: audit — refusals pass") : null,
    one.stale.length ? el("span", { class: "warn" }, `does not load: ${one.stale.join(", ")}; the last good one is served`) : null);
}

const summarise = newest(async (signal) => {
  const before = state.summary?.generation;
  state.summary = await ask("summary", undefined, signal);
  drawSummary();
  if (before !== undefined && before !== state.summary.generation) refresh();
});

/** An answer was of another generation than what is shown. */
const changed = later(50, () => summarise());

/** The token is needed: the field for it. `wrong`: one was sent. */
function closeGate(wrong) {
  state.token = null;
  show(byId("gate"), true);
  fill(byId("gate-note"), wrong ? "That is not the token." : "It is kept in this page alone, until the page is closed.");
  byId("token").focus();
}

async function begin() {
  try {
    state.summary = await ask("summary");
    show(byId("gate"), false);
    drawSummary();
    if (state.caller === null) {
      const { rows } = await ask("roles", { limit: 1 });
      if (rows.length) {
        rolePicker.set([rows[0].role]);
        state.caller = { roles: [rows[0].role] };
      }
    }
    refresh();
  } catch (error) {
    tell(error);
  }
}

function startTheme() {
  const button = byId("theme");
  const words = ["auto", "light", "dark"];
  let at = 0;
  button.addEventListener("click", () => {
    at = (at + 1) % words.length;
    fill(button, `Theme: ${words[at]}`);
    if (at === 0) delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = words[at];
  });
}

function startTabs() {
  const names = Object.keys(views);
  for (const [at, name] of names.entries()) {
    const tab = byId(`tab-${name}`);
    tab.addEventListener("click", () => {
      selectTab(name);
      fine();
      refresh();
    });
    tab.addEventListener("keydown", (event) => {
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: names.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      selectTab(names[(to + names.length) % names.length], true);
      fine();
      refresh();
    });
  }
}

function startKeys() {
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, textarea");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      if (current === "query") {
        queryView.focus();
        return;
      }
      if (!views[current].search) {
        selectTab("features");
        refresh();
      }
      views[current].search.focus();
      views[current].search.select();
    }
  });
}

byId("gate").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = byId("token");
  const given = field.value.trim();
  field.value = "";
  // What fits in no header is no token.
  if (!/^[!-~]+$/.test(given)) return;
  state.token = given;
  begin();
});
for (const [name, view] of Object.entries(views)) view.start(byId(`panel-${name}`));
startCaller();
startTheme();
startTabs();
startKeys();
setInterval(() => {
  if (!document.hidden && state.summary !== null) summarise();
}, 15000);
begin();
