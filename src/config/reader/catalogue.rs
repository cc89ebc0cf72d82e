//! What lies below the policy: generated files, and the live graph of a Chalk deployment.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::reader::ConfigReader;
use crate::config::{ChalkSettings, Dialect, GraphCredentials, GraphSettings, Widening};
use crate::diagnostic::Code;
use crate::yaml::{Fields, Node, Value};

/// The deployment is asked by every replica.
const LEAST_REFRESH: Duration = Duration::from_secs(10);

impl ConfigReader<'_, '_> {
    /// `catalogue`: files in their order, and at most one item that is live. `None` for a dialect that does not read.
    pub(super) fn catalogue(
        &mut self,
        node: Option<&Node>,
        dialect: Option<Dialect>,
        chalk: &ChalkSettings,
    ) -> (Vec<PathBuf>, Option<GraphSettings>) {
        let (mut files, mut graph, mut live) = (Vec::new(), None, false);
        let Some(items) = node.and_then(|node| self.r.list(node, "`catalogue`")) else { return (files, graph) };
        for item in items {
            if !matches!(item.value, Value::Map(_)) {
                files.extend(self.path(item, "a catalogue"));
                continue;
            }
            let settings = self.graph(item);
            if dialect.is_some_and(|dialect| dialect != Dialect::Chalk) {
                self.r.error(item, Code::Dialect, "a live catalogue goes with `dialect: chalk`");
            } else if live {
                self.r.error(item, Code::Conflict, "`catalogue` has a second live item, and there is one deployment");
            } else if chalk.environment.is_none() {
                let message = "a live catalogue needs `chalk.environment`: it is asked for the graph of that one";
                self.r.error(item, Code::Missing, message);
            }
            live = true;
            graph = graph.or(settings);
        }
        (files, graph)
    }

    fn graph(&mut self, node: &Node) -> Option<GraphSettings> {
        let keys =
            &["chalk_graph", "client_id", "secret_file", "bearer_file", "refresh", "widening", "datasource_tags"];
        let fields = self.r.fields(node, "a live catalogue", keys)?;
        match fields.get("chalk_graph") {
            Some(Node { value: Value::Bool(true), .. }) => {}
            Some(other) => {
                self.r.error(other, Code::UnknownWord, "`chalk_graph` is not `true`, which is all it can be")
            }
            None => {
                self.r.error(node, Code::Missing, "a live catalogue says `chalk_graph: true`, and this one does not")
            }
        }
        let credentials = self.graph_credentials(node, &fields);
        let refresh = self.duration(&fields, "refresh", Duration::from_secs(300));
        if let Some(node) = fields.get("refresh").filter(|_| refresh < LEAST_REFRESH) {
            self.r.error(node, Code::Duration, "`refresh` is under 10s, and every replica asks so often");
        }
        let widening = fields
            .get("widening")
            .and_then(|node| self.r.word(node, "`widening`", &[("hold", Widening::Hold), ("allow", Widening::Allow)]));
        let tags = fields.get("datasource_tags").and_then(|node| self.r.boolean(node, "`datasource_tags`"));
        Some(GraphSettings {
            credentials: credentials?,
            refresh,
            widening: widening.unwrap_or_default(),
            datasource_tags: tags.unwrap_or(false),
        })
    }

    /// Of our own: a caller's would show what that caller may see.
    fn graph_credentials(&mut self, node: &Node, fields: &Fields<'_>) -> Option<GraphCredentials> {
        let id = fields.get("client_id").map(|node| self.r.text(node, "`client_id`").map(str::to_owned));
        let secret = fields.get("secret_file").map(|node| self.path(node, "`secret_file`"));
        let bearer = fields.get("bearer_file").map(|node| self.path(node, "`bearer_file`"));
        match (id, secret, bearer) {
            (Some(id), Some(secret), None) => Some(GraphCredentials::Client { id: id?, secret_file: secret? }),
            (None, None, Some(file)) => Some(GraphCredentials::BearerFile(file?)),
            (Some(_), None, None) | (None, Some(_), None) => {
                self.r.error(node, Code::Missing, "a live catalogue needs `client_id` and `secret_file` together");
                None
            }
            (None, None, None) => {
                let message = "a live catalogue has no credentials: `client_id` and `secret_file`, or `bearer_file`";
                self.r.error(node, Code::Missing, message);
                None
            }
            (Some(_), _, Some(_)) | (_, Some(_), Some(_)) => {
                self.r.error(
                    node,
                    Code::Conflict,
                    "a live catalogue has both a client's credentials and `bearer_file`",
                );
                None
            }
        }
    }
}
