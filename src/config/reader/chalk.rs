//! What the Chalk dialect asks of a configuration.

use std::collections::BTreeSet;

use crate::chalk::Switch;
use crate::config::reader::{ConfigReader, child};
use crate::config::{ChalkSettings, Dialect};
use crate::diagnostic::{Code, Diagnostic};
use crate::yaml::{Fields, Node, Value};

impl ConfigReader<'_, '_> {
    /// `chalk`, and what must be there with `dialect: chalk`. `None`: nobody knows which dialect it is.
    pub(super) fn chalk(&mut self, node: &Node, fields: &Fields<'_>, dialect: Option<Dialect>) -> ChalkSettings {
        let read = fields.get("chalk").and_then(|node| self.r.fields(node, "`chalk`", &["environment", "allow"]));
        let environment = read.as_ref().and_then(|fields| fields.get("environment"));
        let settings = ChalkSettings {
            environment: environment.and_then(|node| self.environment(node)),
            allow: self.switches(read.as_ref().and_then(|fields| fields.get("allow"))),
        };
        match (dialect, fields.entry("chalk")) {
            (Some(Dialect::Feast | Dialect::Json), Some((key, _))) => {
                let place = self.r.key_place(key);
                self.r.report.push(Diagnostic::new(Code::Dialect, &place, "`chalk` goes with `dialect: chalk`"));
            }
            (Some(Dialect::Chalk), _) => self.origin(node, fields),
            (Some(Dialect::Feast | Dialect::Json) | None, _) => {}
        }
        settings
    }

    /// It is sent in a header, and compared exactly.
    fn environment(&mut self, node: &Node) -> Option<String> {
        let text = self.r.text(node, "`chalk.environment`")?;
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            self.r.error(
                node,
                Code::Environment,
                format!("`chalk.environment` is `{text}`, which no header can carry"),
            );
        }
        Some(text.to_owned())
    }

    fn switches(&mut self, node: Option<&Node>) -> BTreeSet<Switch> {
        let Some(items) = node.and_then(|node| self.r.list(node, "`chalk.allow`")) else { return BTreeSet::new() };
        items.iter().filter_map(|item| self.r.word(item, "an item of `chalk.allow`", &Switch::words())).collect()
    }

    /// Chalk's clients are sent to `listen.public_url`, and leave a path behind on their way (wire-chalk.md, section 1).
    fn origin(&mut self, node: &Node, fields: &Fields<'_>) {
        let listen = fields.get("listen");
        let Some(url) = listen.and_then(|listen| child(listen, "public_url")) else {
            let message = "`listen.public_url` is missing: where Chalk's clients are sent with their queries";
            self.r.error(listen.unwrap_or(node), Code::Missing, message);
            return;
        };
        // What else is wrong with it was told.
        let Value::Str(text) = &url.value else { return };
        let below = text.trim_end_matches('/').split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
        if below && !text.contains(['?', '#']) {
            let message = format!("`listen.public_url` is `{text}`; with `dialect: chalk` no path follows the host");
            self.r.error(url, Code::Url, message);
        }
    }
}
