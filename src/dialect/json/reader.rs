//! A description's file -> [`Description`]: all mistakes at once, each with its place.

mod answer;
mod request;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::config::units;
use crate::diagnostic::{Code, Diagnostic, Report, SourceFile};
use crate::dialect::json::answer::Layout as AnswerLayout;
use crate::dialect::json::description::{Answer, Description, Method, Request, Route, Unnamed};
use crate::dialect::json::pointer::Pointer;
use crate::dialect::json::request::{self as requests, Layout};
use crate::dialect::json::template::Template;
use crate::yaml::{self, Node, Reader, Value};
use request::Places;

/// The variable that every name has: what the wire calls a feature.
pub const NAME: &str = "name";

/// A path that is served already.
#[derive(Clone, Copy, Debug)]
pub struct Taken<'t> {
    /// The path.
    pub path: &'t str,
    /// By whom.
    pub by: &'static str,
}

/// Reads a description. With an error in the report there is none.
pub fn load(file: &Arc<SourceFile>) -> (Option<Description>, Report) {
    load_beside(file, &[])
}

/// Reads a description that is served beside other paths, none of which a route of it may match.
pub fn load_beside(file: &Arc<SourceFile>, taken: &[Taken<'_>]) -> (Option<Description>, Report) {
    let mut report = Report::default();
    let description = match yaml::parse(file) {
        Ok(node) => {
            let r = Reader { file: Arc::clone(file), report: &mut report };
            DescriptionReader { r, taken }.description(&node)
        }
        Err(diagnostic) => {
            report.push(*diagnostic);
            None
        }
    };
    report.sort();
    (description.filter(|_| !report.has_errors()), report)
}

struct DescriptionReader<'r, 't> {
    r: Reader<'r>,
    taken: &'t [Taken<'t>],
}

/// Where the variables of a route's names come from.
struct Variables {
    /// Of the path; `None`: it does not read, and nothing is said of what it would give.
    path: Option<Vec<String>>,
    /// Of `scope`.
    scope: Vec<String>,
}

impl Variables {
    fn of_request(&self) -> impl Iterator<Item = &str> {
        self.path.iter().flatten().chain(&self.scope).map(String::as_str)
    }

    /// Whether a request gives it, as far as is known.
    fn gives(&self, variable: &str) -> bool {
        variable == NAME || self.path.is_none() || self.of_request().any(|given| given == variable)
    }
}

impl DescriptionReader<'_, '_> {
    fn mistake(&mut self, node: &Node, message: impl Into<String>) {
        self.r.error(node, Code::Description, message);
    }

    fn description(&mut self, node: &Node) -> Option<Description> {
        let fields = self.r.fields(node, "the description", &["version", "health", "routes"])?;
        self.r.version(node, &fields);
        let health = fields.get("health").and_then(|node| Some((node, self.health(node)?)));
        let Some(list) = fields.get("routes") else {
            self.r.error(node, Code::Missing, "`routes` is missing: a list of what is asked, and how it is answered");
            return None;
        };
        let items = self.r.list(list, "`routes`")?;
        if items.is_empty() {
            self.r.error(list, Code::Empty, "`routes` is empty, so nothing would be served");
        }
        let routes: Vec<(&Node, Route)> = items.iter().filter_map(|item| Some((item, self.route(item)?))).collect();
        let mut seen: Vec<(Method, Vec<String>, u32)> = Vec::new();
        for (item, route) in &routes {
            let alike: Vec<String> = route.segments.iter().map(whatever).collect();
            let first = seen.iter().find(|(method, path, _)| *method == route.method && *path == alike);
            if let Some((_, _, first)) = first {
                let message = format!("`{}` is the path of the route in line {first} too", route.path);
                self.r.error(item, Code::DuplicateName, message);
            }
            seen.push((route.method, alike, item.line));
        }
        if let Some((node, health)) = &health
            && routes.iter().any(|(_, route)| route.method == Method::Get && route.path == *health)
        {
            self.mistake(node, format!("`{health}` is a route too, and a health check tells nothing but a status"));
        }
        let routes = routes.into_iter().map(|(_, route)| route).collect();
        Some(Description { health: health.map(|(_, path)| path), routes })
    }

    fn health(&mut self, node: &Node) -> Option<String> {
        let path = self.r.text(node, "`health`")?;
        let plain = units::plain_path(path).filter(|path| !path.contains(['{', '}']));
        if plain.is_none() {
            self.r.error(node, Code::Route, format!("`health` is `{path}`, no plain path such as `/health`"));
        }
        if let Some(taken) = self.taken.iter().find(|taken| plain == Some(taken.path)) {
            self.r.error(node, Code::Route, format!("`{path}` is served by {} already", taken.by));
        }
        plain.map(str::to_owned)
    }

    fn route(&mut self, node: &Node) -> Option<Route> {
        const KEYS: &[&str] = &["path", "method", "names", "scope", "unnamed", "request", "answer"];
        let fields = self.r.fields(node, "a route", KEYS)?;
        let path = match fields.get("path") {
            Some(node) => self.path(node),
            None => {
                self.r.error(node, Code::Missing, "a route has no `path`");
                None
            }
        };
        let methods = [("POST", Method::Post), ("GET", Method::Get)];
        let method = match fields.get("method") {
            Some(node) => self.r.word(node, "`method`", &methods),
            None => Some(Method::Post),
        };
        let of_path = path
            .as_ref()
            .map(|(_, segments)| segments.iter().flat_map(Template::variables).map(str::to_owned).collect::<Vec<_>>());
        let mut places = Places::new(method, of_path.clone());
        let scope = fields.get("scope").map(|node| self.scope(node, &mut places)).unwrap_or_default();
        let given = Variables { path: of_path, scope: scope.iter().map(|(name, _)| name.clone()).collect() };
        let names = match fields.get("names") {
            Some(node) => self.template(node, "`names`", true),
            None => wire(),
        };
        let words = [("reject", Unnamed::Reject), ("filter", Unnamed::Filter)];
        let unnamed = match fields.get("unnamed") {
            Some(node) => self.r.word(node, "`unnamed`", &words),
            None => Some(Unnamed::default()),
        };
        let before = self.r.report.errors();
        let request = match fields.get("request") {
            Some(node) => self.request(node, &given, &mut places),
            None => Some(Request::default()),
        };
        self.apart(&places);
        let request_is_fine = self.r.report.errors() == before;
        let before = self.r.report.errors();
        let answers = match fields.get("answer") {
            Some(node) => self.answers(node, &given),
            None => {
                self.r.error(node, Code::Missing, "a route has no `answer`: where its features stand");
                None
            }
        };
        let answer_is_fine = self.r.report.errors() == before;
        if let (Some(request), Some(Unnamed::Reject)) = (&request, unnamed)
            && request.outputs.is_none()
            && request.bundle.is_none()
            && request.bundle_of.is_none()
        {
            let message = "a request can name neither outputs nor a bundle here, so every one would be refused";
            let place = self.r.place(node);
            let help = "say where in `request`, or `unnamed: filter`";
            self.r.report.push(Diagnostic::new(Code::Description, &place, message).help(help));
        }
        if let (Some(names), Some(answers)) = (&names, &answers) {
            self.variables(fields.get("names").unwrap_or(node), names, &given, answers, request.as_ref());
        }
        let (path, segments) = path?;
        let answers: Vec<Answer> = answers?.into_iter().map(|(_, answer)| answer).collect();
        let request = request?;
        let answer = AnswerLayout::new(&answers, &request.force).map_err(|error| {
            // A mistake in it was told already.
            if answer_is_fine {
                self.mistake(fields.get("answer").unwrap_or(node), format!("`answer`: {error}"));
            }
        });
        let layout = Layout::new(&request, &scope).map_err(|error| {
            if request_is_fine {
                self.mistake(node, error.to_string());
            }
        });
        let (method, names, unnamed, layout, answer) = (method?, names?, unnamed?, layout.ok()?, answer.ok()?);
        Some(Route { path, segments, method, names, scope, unnamed, request, answers, layout, answer })
    }

    fn path(&mut self, node: &Node) -> Option<(String, Vec<Template>)> {
        let path = self.r.text(node, "`path`")?;
        let Some(rest) = units::plain_path(path).and_then(|path| path.strip_prefix('/')) else {
            self.r.error(node, Code::Route, format!("`path` is `{path}`, no plain path such as `/v1/{{view}}:fetch`"));
            return None;
        };
        let mut segments = Vec::new();
        let mut seen: Vec<String> = Vec::new();
        for segment in rest.split('/') {
            match Template::parse(segment) {
                Ok(template) => {
                    for variable in template.variables() {
                        if seen.iter().any(|other| other == variable) {
                            self.mistake(node, format!("`{{{variable}}}` stands twice in `path`"));
                        }
                        seen.push(variable.to_owned());
                    }
                    segments.push(template);
                }
                Err(why) => self.mistake(node, format!("`path`: {why}")),
            }
        }
        if seen.iter().any(|variable| variable == NAME) {
            self.mistake(node, "`{name}` in `path` is no variable: it is what the wire calls each feature");
        }
        if segments.len() < rest.split('/').count() {
            return None;
        }
        if let Some(taken) = self.taken.iter().find(|taken| requests::variables(&segments, taken.path).is_some()) {
            let message = format!("`{path}` matches `{}`, which is served by {}", taken.path, taken.by);
            self.r.error(node, Code::Route, message);
        }
        Some((path.to_owned(), segments))
    }

    /// The names of the request's and of the answer's features are made of what is there.
    fn variables(
        &mut self,
        node: &Node,
        names: &Template,
        given: &Variables,
        answers: &[(&Node, Answer)],
        request: Option<&Request>,
    ) {
        for variable in names.variables().filter(|variable| !given.gives(variable)) {
            let gives = |answer: &Answer| answer.scope.iter().any(|(name, _)| name == variable);
            if !answers.iter().any(|(_, answer)| gives(answer)) {
                self.nothing_gives(node, variable, given, "`path`, `scope` or the `scope` of the answer");
                continue;
            }
            for (node, _) in answers.iter().filter(|(_, answer)| !gives(answer)) {
                self.mistake(node, format!("this answer gives no `{{{variable}}}`, which `names` needs"));
            }
            if request.is_some_and(|request| request.outputs.is_some()) {
                let message = format!("`{{{variable}}}` comes with the answer, too late for the outputs of a request");
                self.mistake(node, message);
            }
        }
    }

    fn nothing_gives(&mut self, node: &Node, variable: &str, given: &Variables, from: &str) {
        let place = self.r.place(node);
        let message = format!("nothing gives `{{{variable}}}`: it would come from {from}");
        let known: Vec<String> = given.of_request().chain([NAME]).map(|known| format!("{{{known}}}")).collect();
        let diagnostic = Diagnostic::new(Code::UnknownVariable, &place, message);
        self.r.report.push(diagnostic.suggest(&format!("{{{variable}}}"), known.iter().map(String::as_str)));
    }

    /// A template of names; `whole`: one that has to tell names apart.
    fn template(&mut self, node: &Node, what: &str, whole: bool) -> Option<Template> {
        let text = self.r.text(node, what)?;
        match Template::parse(text) {
            Ok(template) => {
                if whole && !template.variables().any(|variable| variable == NAME) {
                    self.mistake(node, format!("{what} is `{text}` without `{{name}}`, so all names would be one"));
                }
                Some(template)
            }
            Err(why) => {
                self.mistake(node, format!("{what}: {why}"));
                None
            }
        }
    }

    fn pointer(&mut self, node: &Node, what: &str) -> Option<Pointer> {
        let text = match &node.value {
            Value::Str(text) if text.is_empty() => text,
            _ => self.r.text(node, what)?,
        };
        let pointer = Pointer::parse(text);
        if pointer.is_none() {
            let place = self.r.place(node);
            let message = format!("{what} is `{text}`, no pointer such as `/result/features/*`");
            let slash = format!("/{text}");
            let near = Pointer::parse(&slash).filter(|_| !text.starts_with('/')).map(|_| slash.as_str());
            self.r.report.push(Diagnostic::new(Code::Description, &place, message).suggest(text, near));
        }
        pointer
    }

    fn pointers<'n>(&mut self, node: Option<&'n Node>, what: &str) -> Vec<(&'n Node, Pointer)> {
        let items = node.and_then(|node| self.r.list(node, what)).unwrap_or_default();
        let each = format!("an item of {what}");
        items.iter().filter_map(|item| Some((item, self.pointer(item, &each)?))).collect()
    }

    fn texts(&mut self, node: Option<&Node>, what: &str) -> Vec<String> {
        let items = node.and_then(|node| self.r.list(node, what)).unwrap_or_default();
        let each = format!("an item of {what}");
        items.iter().filter_map(|item| self.r.text(item, &each).map(str::to_owned)).collect()
    }
}

/// `{name}`: what the wire calls a feature is its name.
fn wire() -> Option<Template> {
    Template::parse("{name}").ok()
}

/// What a segment matches, whatever its variables are called.
fn whatever(segment: &Template) -> String {
    segment.fill(|_| Some("{}")).unwrap_or_else(|| segment.to_string())
}
