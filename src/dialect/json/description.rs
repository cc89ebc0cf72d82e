//! What a description says, validated: the reader finds every mistake before one of these is there.

use crate::config::units;
use crate::dialect::json::answer;
use crate::dialect::json::pointer::Pointer;
use crate::dialect::json::request::Layout;
use crate::dialect::json::template::Template;

/// A feature server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The path that tells its health by a status, GET; no token is asked.
    pub health: Option<String>,
    /// Its routes, in the order of the file.
    pub routes: Vec<Route>,
}

impl Description {
    /// The route of a path that means itself, and its number: one without variables, else the first.
    pub fn route(&self, method: Method, path: &str) -> Option<(usize, &Route)> {
        let path = units::plain_path(path)?;
        let found = self.routes.iter().enumerate().filter(|(_, route)| route.method == method);
        let matching = found.filter_map(|(number, route)| Some((route.variables(path)?.is_empty(), number, route)));
        let first = matching.min_by_key(|(exact, number, _)| (!exact, *number));
        first.map(|(_, number, route)| (number, route))
    }
}

/// A route that is read and decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The path as it was written; metrics and audit show it.
    pub path: String,
    /// Of each segment what it is; a variable does not cross a `/`.
    pub segments: Vec<Template>,
    /// Its method.
    pub method: Method,
    /// The catalogue's name of what the wire calls `{name}`.
    pub names: Template,
    /// Variables beside those of the path: each from one place of the request.
    pub scope: Vec<(String, Place)>,
    /// What happens where the request names neither outputs nor a bundle that is known.
    pub unnamed: Unnamed,
    /// What stands where in the request.
    pub request: Request,
    /// The alternatives of the answer, of which at least one is there.
    pub answers: Vec<Answer>,
    /// The places of `request` and `scope` in a body.
    pub layout: Layout,
    /// `answers` as one tree, by which an answer is read.
    pub answer: answer::Layout,
}

/// A method that queries come with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Without a body.
    Get,
    /// With a JSON object.
    Post,
}

/// A place of a request that holds one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the body: a text, or a list of them where it ends in `*` or goes on behind one.
    Body(Pointer),
    /// A parameter of the query string.
    Query(String),
    /// A variable of the path.
    Path(String),
}

/// What happens to a request that says neither outputs nor a known bundle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unnamed {
    /// It is refused.
    #[default]
    Reject,
    /// It is sent, and what the answer has is decided and cut.
    Filter,
}

/// What stands where in a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// It goes upstream byte for byte: nothing is taken out, nothing is put in.
    pub untouched: bool,
    /// Where the outputs are named. In the body the pointer has one `*`.
    pub outputs: Option<Place>,
    /// What stands between several outputs of one parameter.
    pub split: Option<String>,
    /// Where the name of a bundle is.
    pub bundle: Option<Place>,
    /// How the name of a bundle is made of the route's variables, where no one place says it.
    pub bundle_of: Option<Template>,
    /// Where values are supplied.
    pub supplied: Vec<Supplied>,
    /// What is put into the body.
    pub force: Vec<Force>,
    /// Further members of the body that go upstream as they are.
    pub pass: Vec<Pointer>,
    /// Further parameters that do.
    pub pass_query: Vec<String>,
}

/// Where values are supplied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supplied {
    /// In the body: an object from names to values, or behind a last `*` a list of them, one a row. A parameter or a variable
    /// of the path: its name is the name.
    pub at: Place,
    /// The catalogue's name of what is called `{name}` there.
    pub names: Template,
    /// Whether the server takes features that are no keys, too, in the place of computing them.
    pub takes: Takes,
}

/// What a server takes from callers instead of computing it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Takes {
    /// Keys of the catalogue alone.
    #[default]
    Keys,
    /// Any feature.
    Any,
}

/// What is put into a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Force {
    /// Where in the body; without `*`.
    pub at: Pointer,
    /// The value, as JSON.
    pub value: String,
    /// What it adds to the answer: taken out again unless the request had that value already.
    pub adds: Vec<Pointer>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How features stand in it.
    pub shape: Shape,
    /// Names that are no features and may pass, as the wire writes them.
    pub keep: Vec<String>,
    /// Variables from the answer: each pointer goes with `at` up to its last `*`, and has one step or more behind it.
    pub scope: Vec<(String, Pointer)>,
    /// Whether features that were asked for may be missing.
    pub sparse: bool,
    /// Further members that may pass.
    pub pass: Vec<Pointer>,
}

/// How features stand in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Objects from names to values.
    Objects {
        /// Each of them.
        at: Pointer,
    },
    /// An array of names, and an array of columns at the same indices.
    Columns {
        /// The names; one `*`.
        names: Pointer,
        /// The columns.
        at: Pointer,
        /// More arrays that are cut at the same indices.
        aligned: Vec<Pointer>,
    },
    /// An array of names, and rows whose values are at the same indices.
    Rows {
        /// The names; one `*`.
        names: Pointer,
        /// Each row, an array.
        at: Pointer,
        /// More arrays that are cut at the same indices.
        aligned: Vec<Pointer>,
    },
    /// Lists of records that name themselves.
    Records {
        /// Each record; the last step is `*`.
        at: Pointer,
        /// Within a record: its name.
        name: Pointer,
    },
}
