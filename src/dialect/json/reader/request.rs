//! `scope` and `request` of a route.

use super::{DescriptionReader, NAME, Variables, wire};
use crate::diagnostic::{self, Code};
use crate::dialect::json::description::{Force, Method, Place, Request, Supplied, Takes};
use crate::dialect::json::pointer::{Pointer, Step};
use crate::dialect::json::template::Template;
use crate::yaml::{Fields, Key, Node};

/// What is read at a place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Outputs,
    Bundle,
    Scope,
    Supplied,
    Force,
    Pass,
}

impl Use {
    fn name(self) -> &'static str {
        match self {
            Self::Outputs => "outputs",
            Self::Bundle => "bundle",
            Self::Scope => "scope",
            Self::Supplied => "supplied",
            Self::Force => "force",
            Self::Pass => "pass",
        }
    }
}

/// What a route says of places of its request.
pub(super) struct Places {
    /// `None`: it does not read.
    method: Option<Method>,
    /// The variables of the path; `None`: it does not read.
    path: Option<Vec<String>>,
    used: Vec<(Use, Place, diagnostic::Place)>,
}

impl Places {
    pub(super) fn new(method: Option<Method>, path: Option<Vec<String>>) -> Self {
        Self { method, path, used: Vec::new() }
    }
}

/// How many `*` a pointer may have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stars {
    None,
    One,
    AtMostOne,
}

impl DescriptionReader<'_, '_> {
    pub(super) fn scope(&mut self, node: &Node, places: &mut Places) -> Vec<(String, Place)> {
        let mut scope = Vec::new();
        for (key, node) in self.r.entries(node, "`scope`").unwrap_or_default() {
            self.variable(key, &format!("`scope.{}`", key.name), places.path.as_deref().unwrap_or_default());
            let what = format!("variable `{}`", key.name);
            let Some(fields) = self.r.fields(node, &what, &["body", "query"]) else { continue };
            let place = self.place(node, &fields, &what, &["body", "query"], (Use::Scope, Stars::None), places);
            scope.extend(place.map(|place| (key.name.clone(), place)));
        }
        scope
    }

    /// The name of a variable that templates can have, and that no other place gives.
    pub(super) fn variable(&mut self, key: &Key, what: &str, taken: &[String]) {
        let plain = !key.name.is_empty() && key.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let why = if !plain {
            "is no variable: write letters, digits and `_`"
        } else if key.name == NAME {
            "is no variable to be given: it is what the wire calls each feature"
        } else if taken.contains(&key.name) {
            "is given by another place of the route already"
        } else {
            return;
        };
        let place = self.r.key_place(key);
        self.r.report.push(diagnostic::Diagnostic::new(Code::Description, &place, format!("{what} {why}")));
    }

    /// One of `body`, `query` and `path`, of which `ways` are possible.
    fn place(
        &mut self,
        node: &Node,
        fields: &Fields<'_>,
        what: &str,
        ways: &[&str],
        (used, stars): (Use, Stars),
        places: &mut Places,
    ) -> Option<Place> {
        let there: Vec<(&str, &Node)> = ways.iter().filter_map(|way| Some((*way, fields.get(way)?))).collect();
        let [(way, at)] = there.as_slice() else {
            let ways: Vec<String> = ways.iter().map(|way| format!("`{way}`")).collect();
            self.mistake(node, format!("{what} names not exactly one of {}", ways.join(", ")));
            return None;
        };
        let of = format!("`{way}` of {what}");
        let place = match *way {
            "body" => {
                let pointer = self.pointer(at, &of)?;
                let count = pointer.steps().iter().filter(|step| **step == Step::Each).count();
                let why = match stars {
                    Stars::None if count > 0 => Some("points with `*` at several places, and one is read"),
                    Stars::One if count != 1 => Some("has not exactly one `*`, for each output of a list"),
                    Stars::AtMostOne if count > 1 => Some("has more than one `*`"),
                    Stars::None | Stars::One | Stars::AtMostOne => None,
                };
                if let Some(why) = why {
                    self.mistake(at, format!("{of} is `{pointer}`, which {why}"));
                }
                if places.method == Some(Method::Get) {
                    self.mistake(at, format!("{of} is in a body, and a GET has none"));
                }
                Place::Body(pointer)
            }
            "query" => Place::Query(self.r.text(at, &of)?.to_owned()),
            _ => {
                let variable = self.r.text(at, &of)?;
                if let Some(known) = &places.path
                    && !known.iter().any(|known| known == variable)
                {
                    let place = self.r.place(at);
                    let message = format!("{of} is `{variable}`, no variable of `path`");
                    let diagnostic = diagnostic::Diagnostic::new(Code::UnknownVariable, &place, message);
                    self.r.report.push(diagnostic.suggest(variable, known.iter().map(String::as_str)));
                }
                Place::Path(variable.to_owned())
            }
        };
        let shown = self.r.place(at);
        places.used.push((used, place.clone(), shown));
        Some(place)
    }

    /// That no two uses are of one place, or of one within the other.
    pub(super) fn apart(&mut self, places: &Places) {
        for (index, (used, place, shown)) in places.used.iter().enumerate() {
            for (other_use, other, _) in places.used.iter().take(index) {
                let (one, two) = (other_use.name(), used.name());
                let both = |what: String| match one == two {
                    true => format!("{what} stands twice in `{one}`"),
                    false => format!("{what} is of `{one}` and of `{two}`, and can be of one"),
                };
                let message = match (other, place) {
                    (Place::Body(first), Place::Body(second)) if first == second => both(format!("`{first}`")),
                    (Place::Body(first), Place::Body(second)) if meet(first, second) => {
                        format!("`{first}` of `{one}` and `{second}` of `{two}` lie within each other")
                    }
                    (Place::Query(first), Place::Query(second)) if first == second => {
                        both(format!("parameter `{first}`"))
                    }
                    (Place::Path(first), Place::Path(second)) if first == second => both(format!("variable `{first}`")),
                    (Place::Body(_) | Place::Query(_) | Place::Path(_), _) => continue,
                };
                self.r.report.push(diagnostic::Diagnostic::new(Code::Description, shown, message));
                // Once is enough.
                break;
            }
        }
    }

    /// `None`: outputs or a bundle do not read.
    pub(super) fn request(&mut self, node: &Node, given: &Variables, places: &mut Places) -> Option<Request> {
        const KEYS: &[&str] = &["untouched", "outputs", "bundle", "supplied", "force", "pass", "pass_query"];
        const WAYS: &[&str] = &["body", "query", "path"];
        let fields = self.r.fields(node, "`request`", KEYS)?;
        let untouched = fields.get("untouched").and_then(|node| self.r.boolean(node, "`untouched`")).unwrap_or(false);
        for key in ["force", "pass", "pass_query"] {
            if let (true, Some((key, _))) = (untouched, fields.entry(key)) {
                let why = if key.name == "force" { "would change" } else { "says nothing of" };
                let (place, name) = (self.r.key_place(key), &key.name);
                let message = format!("`{name}` {why} a request that goes upstream `untouched`");
                self.r.report.push(diagnostic::Diagnostic::new(Code::Description, &place, message));
            }
        }
        let mut split = None;
        let outputs = match fields.get("outputs") {
            None => Some(None),
            Some(node) => self.r.fields(node, "`outputs`", &["body", "query", "path", "split"]).and_then(|fields| {
                let place = self.place(node, &fields, "`outputs`", WAYS, (Use::Outputs, Stars::One), places);
                if let Some(node) = fields.get("split") {
                    split = self.r.text(node, "`split`").map(str::to_owned);
                    if fields.get("query").is_none() {
                        self.mistake(node, "`split` goes with `query`: a list and a variable need none");
                    }
                }
                place.map(Some)
            }),
        };
        let mut bundle_of = None;
        let bundle = match fields.get("bundle") {
            None => Some(None),
            Some(node) => self.r.fields(node, "`bundle`", &["body", "query", "path", "names"]).and_then(|fields| {
                let Some(names) = fields.get("names") else {
                    return self.place(node, &fields, "`bundle`", WAYS, (Use::Bundle, Stars::None), places).map(Some);
                };
                if WAYS.iter().any(|way| fields.get(way).is_some()) {
                    self.mistake(node, "`bundle` stands at one place or is made by `names`, and not both");
                }
                bundle_of = self.bundle_of(names, given);
                bundle_of.is_some().then_some(None)
            }),
        };
        let supplied = fields.get("supplied").and_then(|node| self.r.list(node, "`supplied`")).unwrap_or_default();
        let supplied = supplied.iter().filter_map(|item| self.supplied(item, given, places)).collect();
        let force = fields.get("force").and_then(|node| self.r.list(node, "`force`")).unwrap_or_default();
        let force = force.iter().filter_map(|item| self.force(item, places)).collect();
        let pass = self.pointers(fields.get("pass"), "`pass`");
        for (node, pointer) in &pass {
            if places.method == Some(Method::Get) {
                self.mistake(node, "`pass` names members of a body, and a GET has none");
            }
            places.used.push((Use::Pass, Place::Body(pointer.clone()), self.r.place(node)));
        }
        let pass_query = fields.get("pass_query").and_then(|node| self.r.list(node, "`pass_query`"));
        let mut parameters = Vec::new();
        for node in pass_query.unwrap_or_default() {
            if let Some(text) = self.r.text(node, "an item of `pass_query`") {
                places.used.push((Use::Pass, Place::Query(text.to_owned()), self.r.place(node)));
                parameters.push(text.to_owned());
            }
        }
        Some(Request {
            untouched,
            outputs: outputs?,
            split,
            bundle: bundle?,
            bundle_of,
            supplied,
            force,
            pass: pass.into_iter().map(|(_, pointer)| pointer).collect(),
            pass_query: parameters,
        })
    }

    /// How the names of bundles are made of variables.
    fn bundle_of(&mut self, node: &Node, given: &Variables) -> Option<Template> {
        let names = self.template(node, "`names` of `bundle`", false)?;
        for variable in names.variables() {
            if variable == NAME {
                self.mistake(
                    node,
                    "`{name}` in `names` of `bundle` is what the wire calls each feature, and no bundle",
                );
            } else if !given.gives(variable) {
                self.nothing_gives(node, variable, given, "`path` or `scope`");
            }
        }
        if names.variables().next().is_none() {
            self.mistake(
                node,
                format!("`names` of `bundle` is `{names}` without a variable, so all requests would be one"),
            );
        }
        Some(names)
    }

    fn supplied(&mut self, node: &Node, given: &Variables, places: &mut Places) -> Option<Supplied> {
        const WAYS: &[&str] = &["body", "query", "path"];
        let what = "an item of `supplied`";
        let fields = self.r.fields(node, what, &["body", "query", "path", "takes", "names"])?;
        let at = self.place(node, &fields, what, WAYS, (Use::Supplied, Stars::AtMostOne), places);
        let words = [("keys", Takes::Keys), ("any", Takes::Any)];
        let takes = fields.get("takes").and_then(|node| self.r.word(node, "`takes`", &words)).unwrap_or_default();
        let names = match fields.get("names") {
            Some(node) => {
                let names = self.template(node, "`names` of supplied values", matches!(at, Some(Place::Body(_))));
                for variable in names.iter().flat_map(|names| names.variables()) {
                    if !given.gives(variable) {
                        self.nothing_gives(node, variable, given, "`path` or `scope`");
                    }
                }
                names
            }
            None => wire(),
        };
        Some(Supplied { at: at?, names: names?, takes })
    }

    fn force(&mut self, node: &Node, places: &mut Places) -> Option<Force> {
        let fields = self.r.fields(node, "an item of `force`", &["at", "value", "adds"])?;
        let at = match fields.get("at") {
            Some(node) => self.pointer(node, "`at` of `force`").map(|pointer| {
                if pointer.steps().is_empty() || pointer.steps().contains(&Step::Each) {
                    self.mistake(node, format!("`at` of `force` is `{pointer}`, and not one member of the body"));
                    return pointer;
                }
                if places.method == Some(Method::Get) {
                    self.mistake(node, "`force` puts something into a body, and a GET has none");
                }
                places.used.push((Use::Force, Place::Body(pointer.clone()), self.r.place(node)));
                pointer
            }),
            None => {
                self.r.error(node, Code::Missing, "an item of `force` has no `at`: where in the body it is put");
                None
            }
        };
        let value = match fields.raw("value") {
            Some((_, node)) => self.r.json(node, "`value` of `force`", Code::Description),
            None => {
                self.r.error(node, Code::Missing, "an item of `force` has no `value`");
                None
            }
        };
        let adds = self.pointers(fields.get("adds"), "`adds`").into_iter().map(|(_, pointer)| pointer).collect();
        Some(Force { at: at?, value: value?.to_string(), adds })
    }
}

/// Whether one leads to the other or into it, or one takes for a list what the other takes for an object.
fn meet(one: &Pointer, two: &Pointer) -> bool {
    one.steps().iter().zip(two.steps()).all(|(one, two)| one == two || *one == Step::Each || *two == Step::Each)
}
