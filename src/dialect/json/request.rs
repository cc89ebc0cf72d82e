//! The request: read strictly where the description says, and built anew of what was understood.

mod layout;
mod parameters;

use std::borrow::Cow;
use std::collections::BTreeMap;

pub use layout::{Layout, LayoutError};

use crate::dialect::json::description::{Method, Place, Route};
use crate::dialect::json::plan::{Asked, MOST_NAMES, Output, Permit, Query, Supply};
use crate::dialect::json::pointer::Step;
use crate::dialect::json::template::Template;
use crate::dialect::{Invalid, shown};
use crate::json::{self, Kind, Value};
use layout::{Found, Held};

/// A request as it came.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'b> {
    /// Its path.
    pub path: &'b str,
    /// Its query string, without the question mark.
    pub parameters: &'b str,
    /// Its body; empty where there is none.
    pub body: &'b [u8],
}

/// A request as it was read.
#[derive(Debug)]
pub struct Request<'b> {
    /// What is decided.
    pub query: Query<'b>,
    /// Of each forced member whether the caller had asked for it.
    pub asked_for: Vec<bool>,
    incoming: Incoming<'b>,
    body: Option<Value>,
    parameters: Vec<parameters::Parameter<'b>>,
}

/// What goes upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// Path and query string.
    pub path: String,
    /// The body; empty without one.
    pub body: Vec<u8>,
}

fn invalid<T>(message: impl Into<String>) -> Result<T, Invalid> {
    Err(Invalid(message.into()))
}

/// What a description has in the place of what it does not.
fn listed<'d>(known: impl Iterator<Item = &'d str>) -> String {
    let known: Vec<String> = known.map(|own| format!("`{}`", shown(own))).collect();
    if known.is_empty() { "nothing".to_owned() } else { known.join(", ") }
}

fn unreadable(error: &json::JsonError) -> Invalid {
    Invalid(format!("the body cannot be read: {error}"))
}

impl Route {
    /// The variables of a path that is this route's.
    pub fn variables<'p>(&'p self, path: &'p str) -> Option<Vec<(&'p str, &'p str)>> {
        variables(&self.segments, path)
    }
}

/// The variables of a path of these segments.
pub fn variables<'p>(segments: &'p [Template], path: &'p str) -> Option<Vec<(&'p str, &'p str)>> {
    let mut found = Vec::new();
    let mut rest = path.strip_prefix('/')?.split('/');
    for segment in segments {
        found.extend(segment.read(rest.next()?)?);
    }
    rest.next().is_none().then_some(found)
}

/// Takes a request apart. `number`: of the route in its description.
///
/// # Errors
/// [`Invalid`]: it cannot be read, or has what the description does not know.
pub fn read<'b>(route: &'b Route, number: usize, incoming: Incoming<'b>) -> Result<Request<'b>, Invalid> {
    let described = &route.request;
    let path = variables(&route.segments, incoming.path);
    let path = path.ok_or_else(|| Invalid("the path is none of this route's".to_owned()))?;
    let parameters = parameters::read(incoming.parameters)?;
    let known = parameters::known(route);
    for (name, _) in parameters.iter().filter(|(name, _)| !known.contains(&**name)) {
        if !described.untouched {
            let known = listed(known.iter().copied());
            return invalid(format!("the parameter `{}` is not known; what is: {known}", shown(name)));
        }
        if let Some(known) = known.iter().find(|known| known.eq_ignore_ascii_case(name)) {
            return invalid(format!("the parameter `{}` could be read as `{known}`", shown(name)));
        }
    }
    // It would go upstream as it is, and some servers begin a parameter there.
    if described.untouched && incoming.parameters.contains(';') {
        return invalid("the query string has a `;`");
    }
    let body = match route.method {
        Method::Get if incoming.body.is_empty() => None,
        Method::Get => return invalid("a GET has no body"),
        Method::Post => Some(json::whole(incoming.body).map_err(|error| unreadable(&error))?),
    };
    let mut found = Found::new(route);
    if let Some(body) = body {
        route.layout.read(incoming.body, body, described.untouched, &mut found)?;
    }
    let held = |place: &Place| -> Result<Vec<Cow<'b, str>>, Invalid> {
        Ok(match place {
            // Read before.
            Place::Body(_) => Vec::new(),
            Place::Query(name) => {
                parameters.iter().filter(|(own, _)| own == name).map(|(_, value)| value.clone()).collect()
            }
            Place::Path(name) => {
                path.iter().filter(|(own, _)| own == name).map(|(_, value)| Cow::Borrowed(*value)).collect()
            }
        })
    };
    let mut variables: Vec<(&str, Cow<'_, str>)> =
        path.iter().map(|(name, value)| (*name, Cow::Borrowed(*value))).collect();
    for (at, (name, place)) in route.scope.iter().enumerate() {
        let mut values = held(place)?;
        values.extend(found.variables.get_mut(at).and_then(Option::take));
        variables.extend(one(values, name)?.map(|value| (name.as_str(), value)));
    }
    let bundle = match (&described.bundle, &described.bundle_of) {
        (Some(place), _) => {
            let mut values = held(place)?;
            values.extend(found.bundle.take());
            one(values, "the name of a bundle")?
        }
        (None, Some(names)) => made(names, "", &variables).map(Cow::Owned),
        (None, None) => None,
    };
    if let Some(place) = &described.outputs {
        for value in held(place)? {
            match (&described.split, value) {
                (Some(split), Cow::Borrowed(value)) => found.outputs.extend(value.split(split.as_str()).map(Cow::from)),
                (Some(split), Cow::Owned(value)) => {
                    found.outputs.extend(value.split(split.as_str()).map(|part| Cow::from(part.to_owned())));
                }
                (None, value) => found.outputs.push(value),
            }
        }
    }
    for (at, supplied) in described.supplied.iter().enumerate() {
        let (Place::Query(name) | Place::Path(name)) = &supplied.at else { continue };
        let values = held(&supplied.at)?;
        if let Some(place) = found.supplied.get_mut(at).filter(|_| !values.is_empty()) {
            let empty = values.iter().any(|value| value.is_empty());
            place.rows = 1;
            place.names.insert(Cow::Borrowed(name.as_str()), Held { rows: 1, null: empty });
        }
    }

    let asked_for = std::mem::take(&mut found.forced);
    let query = Query {
        route,
        number,
        supplied: supplies(route, &variables, found.supplied)?,
        asked: asked(route, &variables, found.outputs, bundle)?,
        variables,
    };
    Ok(Request { query, asked_for, incoming, body, parameters })
}

/// The only one of several values; the empty text is none.
fn one<'b>(mut values: Vec<Cow<'b, str>>, what: &str) -> Result<Option<Cow<'b, str>>, Invalid> {
    let value = values.pop();
    if !values.is_empty() {
        return invalid(format!("`{}` is given twice", shown(what)));
    }
    Ok(value.filter(|value| !value.is_empty()))
}

fn asked<'b>(
    route: &'b Route,
    variables: &[(&str, Cow<'b, str>)],
    outputs: Vec<Cow<'b, str>>,
    bundle: Option<Cow<'b, str>>,
) -> Result<Asked<'b>, Invalid> {
    match (outputs.is_empty(), bundle) {
        (false, Some(bundle)) => invalid(format!("the request names outputs and the bundle `{}`", shown(&bundle))),
        (true, Some(bundle)) => Ok(Asked::Bundle(bundle)),
        (true, None) => Ok(Asked::Nothing),
        (false, None) if outputs.len() > MOST_NAMES => {
            invalid(format!("the request names more than {MOST_NAMES} outputs"))
        }
        (false, None) => {
            let output = |written: Cow<'b, str>| match made(&route.names, &written, variables) {
                Some(feature) => Ok(Output { written, feature }),
                None => invalid(format!("of `{}` no name can be made", shown(&written))),
            };
            Ok(Asked::Outputs(outputs.into_iter().map(output).collect::<Result<_, _>>()?))
        }
    }
}

fn supplies<'b>(
    route: &'b Route,
    variables: &[(&str, Cow<'b, str>)],
    found: Vec<layout::Supplied<'b>>,
) -> Result<Vec<Supply<'b>>, Invalid> {
    let mut all = Vec::new();
    let listed = |at: &Place| matches!(at, Place::Body(pointer) if pointer.steps().contains(&Step::Each));
    // Lists side by side are of the same rows: one that is shorter has nothing for some of them.
    let lists = route.request.supplied.iter().zip(&found).filter(|(described, _)| listed(&described.at));
    let most = lists.map(|(_, found)| found.rows).max().unwrap_or_default();
    for ((place, described), found) in route.request.supplied.iter().enumerate().zip(found) {
        let rows = if listed(&described.at) { most } else { found.rows };
        for (written, held) in found.names {
            if all.len() == MOST_NAMES {
                return invalid(format!("the request supplies more than {MOST_NAMES} values"));
            }
            let feature = made(&described.names, &written, variables);
            let has_null = held.null || held.rows < rows;
            all.push(Supply { place, written, feature, takes: described.takes, has_null });
        }
    }
    Ok(all)
}

/// The name in the catalogue of what the wire calls `name`.
pub(super) fn made(template: &Template, name: &str, variables: &[(&str, Cow<'_, str>)]) -> Option<String> {
    template.fill(|variable| match variable {
        "name" => Some(name),
        _ => variables.iter().find(|(own, _)| *own == variable).map(|(_, value)| &**value),
    })
}

/// What goes upstream: what was decided, and the rest that the description lets pass.
pub fn rewrite(request: &Request<'_>, permit: &Permit) -> Rewritten {
    let (route, incoming) = (request.query.route, request.incoming);
    if route.request.untouched {
        let path = match incoming.parameters {
            "" => incoming.path.to_owned(),
            parameters => format!("{}?{parameters}", incoming.path),
        };
        return Rewritten { path, body: incoming.body.to_vec() };
    }
    let mut path = incoming.path.to_owned();
    parameters::write(&mut path, request, permit);
    let mut body = Vec::new();
    if let Some(whole) = request.body {
        body.reserve(incoming.body.len() + 64);
        let keeps = layout::Keeps::new(&request.query, permit);
        route.layout.write(incoming.body, whole, route, &keeps, &mut body);
    }
    Rewritten { path, body }
}

/// Which supplied values go upstream, by their place and name.
pub(super) fn forwarded<'q>(query: &'q Query<'_>, permit: &Permit) -> BTreeMap<(usize, &'q str), bool> {
    let each = query.supplied.iter();
    each.map(|supply| ((supply.place, &*supply.written), permit.forwards(supply))).collect()
}

/// A text of the body: a string, or a number without a fraction.
fn text<'b>(body: &'b [u8], value: Value, what: &str) -> Result<Option<Cow<'b, str>>, Invalid> {
    match value.kind {
        Kind::Null => Ok(None),
        Kind::String => json::string(body, value).map(Some).map_err(|error| unreadable(&error)),
        Kind::Number => {
            let digits = std::str::from_utf8(value.span.of(body)).unwrap_or_default();
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            if plain {
                Ok(Some(Cow::Borrowed(digits)))
            } else {
                invalid(format!("`{what}` is neither text nor a count"))
            }
        }
        Kind::Object | Kind::Array | Kind::Bool(_) => invalid(format!("`{what}` is no text")),
    }
}
