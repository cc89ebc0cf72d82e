// What stands in several views: a list of which only what is seen exists, and a field that collects names.

const PAGE = 100;
const PAGES = 30;
const MOST = 300000;
let numbers = 0;

/** A list of any length. `load(offset, limit, signal)` gives `{total, rows}`; `draw(row)` what a row holds. */
class WindowedList {
  constructor({ label, height, load, draw, name, chosen, opened, empty }) {
    Object.assign(this, { height, load, draw, name, chosen, opened, empty });
    this.id = `list-${(numbers += 1)}`;
    this.spacer = el("div", { class: "spacer" });
    this.note = el("p", { class: "empty", hidden: true });
    this.box = el("div", {
      class: "list", role: "listbox", tabindex: "0", "aria-label": label,
      on: { scroll: () => this.soon(), keydown: (event) => this.key(event), click: (event) => this.click(event) },
    }, this.spacer, this.note);
    this.pages = new Map();
    this.nodes = new Map();
    this.total = 0;
    this.selected = -1;
    this.waiting = false;
    new ResizeObserver(() => this.soon()).observe(this.box);
  }

  /** Begins anew, at the top. */
  async reset() {
    this.loads?.abort();
    this.loads = new AbortController();
    const { signal } = this.loads;
    this.asked = new Set();
    this.box.setAttribute("aria-busy", "true");
    const first = await this.load(0, PAGE, signal);
    if (signal.aborted) return null;
    this.box.removeAttribute("aria-busy");
    this.pages = new Map([[0, first.rows]]);
    this.total = Math.min(first.total, MOST);
    this.selected = -1;
    for (const node of this.nodes.values()) node.remove();
    this.nodes.clear();
    this.box.removeAttribute("aria-activedescendant");
    this.spacer.style.height = `${this.total * this.height}px`;
    this.box.scrollTop = 0;
    fill(this.note, this.empty());
    show(this.note, this.total === 0);
    this.render();
    return first;
  }

  /** Nothing is in it, and nothing is said of that. */
  clear() {
    this.loads?.abort();
    this.pages.clear();
    this.total = 0;
    this.selected = -1;
    this.spacer.style.height = "0";
    show(this.note, false);
    this.render();
  }

  soon() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.render();
    });
  }

  row(at) {
    return this.pages.get(at - (at % PAGE))?.[at % PAGE];
  }

  /** The rows that are seen, and a few around them. */
  range() {
    const first = Math.max(0, Math.floor(this.box.scrollTop / this.height) - 4);
    const last = Math.min(this.total, Math.ceil((this.box.scrollTop + this.box.clientHeight) / this.height) + 4);
    return [first, last];
  }

  render() {
    const [first, last] = this.range();
    for (const [at, node] of this.nodes) {
      if (at < first || at >= last) {
        node.remove();
        this.nodes.delete(at);
      }
    }
    for (let at = first; at < last; at += 1) {
      const row = this.row(at);
      const old = this.nodes.get(at);
      if (old && (old.dataset.full || !row)) continue;
      old?.remove();
      const node = el("div", {
        class: "row", role: "option", id: `${this.id}-${at}`, "aria-posinset": at + 1, "aria-setsize": this.total,
        "aria-selected": at === this.selected ? "true" : "false", "data-at": at, "data-full": Boolean(row),
      }, row ? this.draw(row) : el("span", { class: "wait" }, "…"));
      node.style.transform = `translateY(${at * this.height}px)`;
      this.nodes.set(at, node);
      this.spacer.append(node);
    }
    for (let page = first - (first % PAGE); page < last; page += PAGE) {
      if (!this.pages.has(page) && !this.asked.has(page)) this.more();
    }
  }

  /** The pages that are seen when it has been quiet for a moment: flying past asks for nothing. */
  more() {
    clearTimeout(this.timer);
    this.timer = setTimeout(async () => {
      const { signal } = this.loads;
      const [first, last] = this.range();
      for (let page = first - (first % PAGE); page < last; page += PAGE) {
        if (this.pages.has(page) || this.asked.has(page)) continue;
        this.asked.add(page);
        try {
          const { rows } = await this.load(page, PAGE, signal);
          this.pages.set(page, rows);
          if (this.pages.size > PAGES) {
            const oldest = [...this.pages.keys()].find((known) => known !== page);
            this.pages.delete(oldest);
          }
        } catch (error) {
          tell(error);
        }
        this.asked.delete(page);
      }
      this.render();
    }, 60);
  }

  select(at, follow = true) {
    if (this.total === 0) return;
    const to = Math.max(0, Math.min(at, this.total - 1));
    this.nodes.get(this.selected)?.setAttribute("aria-selected", "false");
    this.selected = to;
    const top = to * this.height;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    const most = top + this.height - this.box.clientHeight;
    if (most > this.box.scrollTop) this.box.scrollTop = most;
    this.render();
    this.nodes.get(to)?.setAttribute("aria-selected", "true");
    this.box.setAttribute("aria-activedescendant", `${this.id}-${to}`);
    const row = this.row(to);
    if (row && follow) this.chosen(row);
  }

  key(event) {
    const page = Math.max(1, Math.floor(this.box.clientHeight / this.height) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -this.total, End: this.total };
    if (event.key === "Enter" && this.row(this.selected)) {
      event.preventDefault();
      this.opened(this.row(this.selected));
    } else if (event.key in steps) {
      event.preventDefault();
      const from = this.selected < 0 && steps[event.key] > 0 ? -1 : this.selected;
      this.select(from + steps[event.key]);
    }
  }

  click(event) {
    const node = event.target.closest(".row");
    if (node) this.select(Number(node.dataset.at));
  }
}

/** A field that collects names. `source(search, signal)` gives `[{value, note}]`; `free`: other names may be given, too. */
class Picker {
  constructor({ label, source, free, changed, placeholder }) {
    Object.assign(this, { source, free, changed });
    const id = `pick-${(numbers += 1)}`;
    this.values = [];
    this.options = [];
    this.at = -1;
    this.chips = el("ul", { class: "chips", "aria-label": `${label}: chosen` });
    this.popup = el("ul", { class: "popup", role: "listbox", id: `${id}-list`, "aria-label": label, hidden: true });
    this.input = el("input", {
      type: "text", role: "combobox", "aria-label": label, "aria-expanded": "false", "aria-controls": `${id}-list`,
      "aria-autocomplete": "list", autocomplete: "off", spellcheck: "false", placeholder,
      on: {
        input: () => this.search(), focus: () => this.search(), blur: () => setTimeout(() => this.close(), 120),
        keydown: (event) => this.key(event),
      },
    });
    this.id = id;
    this.box = el("div", { class: "picker" }, this.chips, el("div", { class: "field" }, this.input, this.popup));
    const look = newest(async (signal) => {
      const options = await this.source(this.input.value.trim(), signal);
      if (document.activeElement !== this.input) return;
      this.options = options.filter((option) => !this.values.includes(option.value));
      this.at = this.input.value.trim() && this.options.length ? 0 : -1;
      this.open();
    });
    this.search = later(80, look);
  }

  set(values) {
    this.values = [...new Set(values)];
    this.draw();
  }

  draw() {
    fill(this.chips, this.values.map((value) => el("li", null, el("span", { class: "name" }, value),
      el("button", { type: "button", "aria-label": `Remove ${value}`, on: { click: () => this.remove(value) } }, "×"))));
  }

  add(value) {
    this.input.value = "";
    this.close();
    if (this.values.includes(value)) return;
    this.set([...this.values, value]);
    this.changed(this.values);
  }

  remove(value) {
    this.set(this.values.filter((one) => one !== value));
    this.changed(this.values);
    this.input.focus();
  }

  open() {
    fill(this.popup, this.options.map((option, at) => el("li", {
      role: "option", id: `${this.id}-${at}`, "aria-selected": at === this.at ? "true" : "false",
      on: { mousedown: (event) => { event.preventDefault(); this.add(option.value); } },
    }, el("span", { class: "name" }, option.value), option.note ?? null)));
    const shown = this.options.length > 0;
    show(this.popup, shown);
    this.input.setAttribute("aria-expanded", shown ? "true" : "false");
    if (this.at >= 0) {
      this.input.setAttribute("aria-activedescendant", `${this.id}-${this.at}`);
      this.popup.children[this.at]?.scrollIntoView({ block: "nearest" });
    } else {
      this.input.removeAttribute("aria-activedescendant");
    }
  }

  close() {
    this.options = [];
    this.at = -1;
    fill(this.popup);
    show(this.popup, false);
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  }

  key(event) {
    const typed = this.input.value.trim();
    if ((event.key === "ArrowDown" || event.key === "ArrowUp") && this.options.length) {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      this.at = (this.at + step + this.options.length) % this.options.length;
      this.open();
    } else if (event.key === "Enter" && !event.ctrlKey && !event.metaKey) {
      const exact = this.options.find((option) => option.value === typed);
      const option = exact ?? this.options[this.at];
      if (option) this.add(option.value);
      else if (this.free && typed) this.add(typed);
      else return;
      event.preventDefault();
    } else if (event.key === "Escape" && !this.popup.hidden) {
      event.stopPropagation();
      this.close();
    } else if (event.key === "Backspace" && this.input.value === "" && this.values.length) {
      this.remove(this.values.at(-1));
    }
  }
}

/** Buttons of which each lets something through. `options`: `{value, label, css}`. */
class Filters {
  constructor(label, options, changed) {
    this.on = new Set();
    this.options = options;
    this.buttons = new Map();
    this.box = el("div", { class: "filters", role: "group", "aria-label": label });
    for (const { value, css, mark } of options) {
      const count = el("span", { class: "count" }, "");
      const button = el("button", {
        type: "button", class: `filter ${css ?? ""}`, "aria-pressed": "false",
        on: { click: () => {
          if (!this.on.delete(value)) this.on.add(value);
          button.setAttribute("aria-pressed", this.on.has(value) ? "true" : "false");
          changed();
        } },
      }, mark ?? null, value, count);
      this.buttons.set(value, count);
      this.box.append(button);
    }
  }

  only() {
    return this.on.size ? [...this.on] : undefined;
  }

  count(counts) {
    for (const [value, count] of this.buttons) fill(count, (counts[value] ?? 0).toLocaleString("en"));
  }
}

/** Features for a field, from the server. */
async function featuresLike(search, signal) {
  const { rows } = await ask("features", { caller: state.caller, search, limit: 20 }, signal);
  return rows.map((row) => ({ value: row.feature, note: badge(row.permission, "small") }));
}
