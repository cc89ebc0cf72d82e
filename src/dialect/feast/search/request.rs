//! The bodies of searches, read strictly and built anew. Vectors and the values of filters go on byte for byte.

use std::borrow::Cow;

use super::{Compared, Form, Search};
use crate::dialect::Invalid;
use crate::dialect::feast::Permit;
use crate::dialect::feast::request::{boolean, invalid, text, texts, unreadable};
use crate::json::{self, Kind, Value};

/// A request to search.
#[derive(Debug)]
pub struct Request<'b> {
    /// What is decided.
    pub search: Search<'b>,
    /// `include_feature_view_version_metadata`.
    pub view_metadata: bool,
    /// The members of the body that go upstream beside what is asked for, each with a comma before it.
    rest: Vec<u8>,
}

/// A request to search a vector store, before it is known which view that is.
#[derive(Debug)]
pub struct InStore<'b> {
    features: Vec<Cow<'b, str>>,
    filters: Vec<Compared<'b>>,
    /// What is looked for, each as a JSON string.
    pub words: Vec<&'b [u8]>,
    rest: Vec<u8>,
}

/// Reads the body of `/search` and `/retrieve-online-documents`:
///
/// `{"features", "query"?, "top_k"?, "api_version"?, "query_string"?, "distance_metric"?, "filters"?,
/// "include_feature_view_version_metadata"?}`
///
/// A null is a field that is not given. Unknown fields have no effect and are not forwarded, nor is what only the second form
/// of a request has, in the first.
///
/// # Errors
/// [`Invalid`] names what is in the way.
pub fn read(body: &[u8]) -> Result<Request<'_>, Invalid> {
    let mut features: Vec<Cow<'_, str>> = Vec::new();
    let (mut query, mut top_k, mut words, mut metric, mut filters) = (None, None, None, None, None);
    let (mut second, mut view_metadata) = (false, false);
    for member in json::object(body).map_err(|error| unreadable(&error))? {
        let value = member.value;
        if value.kind == Kind::Null {
            continue;
        }
        match &*member.key {
            "features" => features = texts(body, value)?,
            "feature_service" if value.span.of(body) != b"\"\"" => {
                return invalid("a search is of one view, not of a `feature_service`");
            }
            "query" => query = Some(vector(body, value)?),
            "top_k" => top_k = Some(count(body, value, "top_k")?),
            "query_string" => words = Some(words_of(value, "query_string")?),
            "distance_metric" => metric = Some(metric_of(body, value)?),
            "api_version" => {
                second = match value.span.of(body) {
                    b"1" => false,
                    b"2" => true,
                    _ => return invalid("`api_version` is neither 1 nor 2"),
                }
            }
            "filters" => filters = Some(value),
            "include_feature_view_version_metadata" => {
                view_metadata = boolean(value, "include_feature_view_version_metadata")?;
            }
            "full_feature_names" => {
                boolean(value, "full_feature_names")?;
            }
            _ => {}
        }
    }
    if features.is_empty() {
        return invalid("a search asks for no `features`");
    }
    let mut rest = Vec::new();
    push(&mut rest, "query", query.map(|value| value.span.of(body)));
    push(&mut rest, "top_k", top_k.map(|value| value.span.of(body)));
    push(&mut rest, "api_version", Some(if second { b"2" } else { b"1" }));
    let mut keys = Vec::new();
    if second {
        push(&mut rest, "query_string", words.map(|value| value.span.of(body)));
        push(&mut rest, "distance_metric", metric.map(|value| value.span.of(body)));
        if let Some(value) = filters {
            let mut built = Vec::new();
            filter(body, value, &mut keys, &mut built)?;
            push(&mut rest, "filters", Some(&built));
        }
        push(&mut rest, "include_feature_view_version_metadata", view_metadata.then_some(b"true".as_slice()));
    }
    let form = if second { Form::Second { words: words.is_some() } } else { Form::First };
    let search = Search { features, filters: keys, form };
    Ok(Request { search, view_metadata: view_metadata && second, rest })
}

/// Reads the body of `/v1/vector_stores/{id}/search`:
///
/// `{"query", "filters"?, "max_num_results"?, "metadata"?: {"features_to_retrieve"?}}`
///
/// # Errors
/// [`Invalid`] names what is in the way: ways of ranking and of rewriting a query too, which Feast 0.67 has not.
pub fn read_in_store(body: &[u8]) -> Result<InStore<'_>, Invalid> {
    let mut store = InStore { features: Vec::new(), filters: Vec::new(), words: Vec::new(), rest: Vec::new() };
    let (mut most, mut filters) = (None, None);
    for member in json::object(body).map_err(|error| unreadable(&error))? {
        let value = member.value;
        if value.kind == Kind::Null {
            continue;
        }
        match &*member.key {
            "query" => {
                let words = if value.kind == Kind::Array {
                    json::elements(body, value).map_err(|error| unreadable(&error))?
                } else {
                    vec![value]
                };
                for value in words {
                    store.words.push(words_of(value, "query")?.span.of(body));
                }
            }
            "max_num_results" => most = Some(count(body, value, "max_num_results")?),
            "filters" => filters = Some(value),
            "rewrite_query" if boolean(value, "rewrite_query")? => {
                return invalid("`rewrite_query` is not followed");
            }
            "ranking_options" => {
                for option in members(body, value, "ranking_options")? {
                    if matches!(&*option.key, "ranker" | "score_threshold") && option.value.kind != Kind::Null {
                        return invalid(format!("`ranking_options.{}` is not followed", option.key));
                    }
                }
            }
            "metadata" => {
                for member in members(body, value, "metadata")? {
                    if member.key == "features_to_retrieve" && member.value.kind != Kind::Null {
                        store.features = texts(body, member.value)?;
                    }
                }
            }
            _ => {}
        }
    }
    if store.words.is_empty() {
        return invalid("a search of a vector store has no `query`");
    }
    push(&mut store.rest, "max_num_results", most.map(|value| value.span.of(body)));
    if let Some(value) = filters {
        let mut built = Vec::new();
        filter(body, value, &mut store.filters, &mut built)?;
        push(&mut store.rest, "filters", Some(&built));
    }
    Ok(store)
}

impl Request<'_> {
    /// The body that goes upstream.
    pub fn rewrite(&self, permit: &Permit) -> Vec<u8> {
        let mut out = b"{".to_vec();
        out.extend_from_slice(&permit.wanted.json);
        out.extend_from_slice(&self.rest);
        out.push(b'}');
        out
    }
}

impl<'b> InStore<'b> {
    /// What is decided, once it is known which view this is.
    pub fn search(&self, id: &'b str, view: Option<&'b str>) -> Search<'b> {
        let (features, filters) = (self.features.clone(), self.filters.clone());
        Search { features, filters, form: Form::Store { id, view } }
    }

    /// The body that goes upstream.
    pub fn rewrite(&self, permit: &Permit) -> Vec<u8> {
        let mut out = br#"{"query":["#.to_vec();
        out.extend_from_slice(&self.words.join(&b','));
        out.push(b']');
        out.extend_from_slice(&self.rest);
        let names = &permit.wanted.names;
        if !names.is_empty() {
            out.extend_from_slice(br#","metadata":{"features_to_retrieve":["#);
            for (position, name) in names.references().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                json::write_string(&mut out, name);
            }
            out.extend_from_slice(b"]}");
        }
        out.push(b'}');
        out
    }
}

fn push(out: &mut Vec<u8>, name: &str, value: Option<&[u8]>) {
    if let Some(value) = value {
        out.push(b',');
        json::write_string(out, name);
        out.push(b':');
        out.extend_from_slice(value);
    }
}

fn members<'b>(body: &'b [u8], value: Value, name: &str) -> Result<Vec<json::Member<'b>>, Invalid> {
    if value.kind != Kind::Object {
        return invalid(format!("`{name}` is no object"));
    }
    json::members(body, value).map_err(|error| unreadable(&error))
}

/// A whole number that is not negative.
fn count(body: &[u8], value: Value, name: &str) -> Result<Value, Invalid> {
    let text = value.span.of(body);
    if value.kind == Kind::Number && text.len() <= 9 && text.iter().all(u8::is_ascii_digit) {
        Ok(value)
    } else {
        invalid(format!("`{name}` is no whole number that can be meant"))
    }
}

fn vector(body: &[u8], value: Value) -> Result<Value, Invalid> {
    if value.kind != Kind::Array {
        return invalid("`query` is not a list");
    }
    for item in json::iter_elements(body, value).map_err(|error| unreadable(&error))? {
        if item.map_err(|error| unreadable(&error))?.kind != Kind::Number {
            return invalid("`query` holds something that is no number");
        }
    }
    Ok(value)
}

fn words_of(value: Value, name: &str) -> Result<Value, Invalid> {
    if value.kind == Kind::String { Ok(value) } else { invalid(format!("`{name}` holds what are no words")) }
}

/// A word, for some stores build a query of their own with it.
fn metric_of(body: &[u8], value: Value) -> Result<Value, Invalid> {
    let text = value.span.of(body);
    let word = text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-\"".contains(byte));
    if value.kind == Kind::String && word && text.len() <= 40 {
        Ok(value)
    } else {
        invalid("`distance_metric` is not the name of a metric")
    }
}

/// `{"type": "eq"…, "key", "value"}` or `{"type": "and" | "or", "filters": […]}`, nothing beside that; its keys are collected.
fn filter<'b>(body: &'b [u8], value: Value, keys: &mut Vec<Compared<'b>>, out: &mut Vec<u8>) -> Result<(), Invalid> {
    let (mut kind, mut key, mut compared, mut filters) = (None, None, None, None);
    for member in members(body, value, "filters")? {
        match (&*member.key, member.value.kind) {
            ("type", Kind::String) => kind = Some(text(body, member.value)?),
            ("key", Kind::String) => key = Some(text(body, member.value)?),
            ("value", _) => compared = Some(member.value),
            ("filters", Kind::Array) => filters = Some(member.value),
            _ => return invalid("a filter has something that is not of a filter"),
        }
    }
    let Some(kind) = kind else { return invalid("a filter has no `type`") };
    out.extend_from_slice(br#"{"type":"#);
    json::write_string(out, &kind);
    match (&*kind, key, compared, filters) {
        ("eq" | "ne" | "gt" | "gte" | "lt" | "lte" | "in" | "nin", Some(key), Some(value), None) => {
            out.extend_from_slice(br#","key":"#);
            json::write_string(out, &key);
            push(out, "value", Some(comparable(body, value, true)?));
            keys.push(Compared { key, given: matches!(&*kind, "eq" | "in") });
        }
        ("and" | "or", None, None, Some(filters)) => {
            out.extend_from_slice(br#","filters":["#);
            let mut first = true;
            for item in json::iter_elements(body, filters).map_err(|error| unreadable(&error))? {
                if !first {
                    out.push(b',');
                }
                first = false;
                filter(body, item.map_err(|error| unreadable(&error))?, keys, out)?;
            }
            if first {
                return invalid("a filter joins no filters");
            }
            out.push(b']');
        }
        _ => return invalid("a filter neither compares a `key` with a `value` nor joins `filters`"),
    }
    out.push(b'}');
    Ok(())
}

/// A value to compare with, or a list of such.
fn comparable(body: &[u8], value: Value, list: bool) -> Result<&[u8], Invalid> {
    match value.kind {
        Kind::String | Kind::Number | Kind::Bool(_) | Kind::Null => {}
        Kind::Array if list => {
            for item in json::iter_elements(body, value).map_err(|error| unreadable(&error))? {
                comparable(body, item.map_err(|error| unreadable(&error))?, false)?;
            }
        }
        Kind::Array | Kind::Object => return invalid("a filter compares with more than a value or a list of values"),
    }
    Ok(value.span.of(body))
}
