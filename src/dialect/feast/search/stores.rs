//! Vector stores: views with a vector index, as clients of OpenAI's API see them (feast/vector_store_utils.py and
//! `openai_search` of feast/feature_store.py, 0.67).

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::{InStore, NO_KEY};
use crate::dialect::feast::Permit;
use crate::dialect::feast::answer::{json_error, unreadable};
use crate::dialect::feast::plan::Column;
use crate::dialect::{Answer, Unreadable, shown};
use crate::json::{self, Kind, Value};
use crate::policy::Policy;
use crate::policy::decide::{Name, Resolved};
use crate::policy::resolve::Table;

/// A vector store, as Feast shows it.
#[derive(Debug, PartialEq, Eq)]
pub struct Store<'b> {
    /// `vs_` and a hash of project and view.
    pub id: Cow<'b, str>,
    /// The view.
    pub view: Cow<'b, str>,
}

impl Store<'_> {
    /// Whether a text could be the id of one; only such a one is asked for.
    pub fn is_id(text: &str) -> bool {
        let hash = |text: &str| text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        text.strip_prefix("vs_").is_some_and(hash)
    }
}

/// The views of which a caller may return something: those whose stores it is shown.
pub fn visible<'p>(policy: &'p Policy, tables: &'p [Arc<Table>]) -> BTreeSet<&'p str> {
    let resolved = Resolved::new(policy, tables, &[]);
    let features = policy.catalogue.features().iter().zip(0..);
    let returned = features.filter(|(_, id)| resolved.verdict(&Name::Known(*id), false).permission.returnable());
    returned.filter_map(|(feature, _)| Some(feature.name.split_once(':')?.0)).collect()
}

fn of_json<T>(result: Result<T, json::JsonError>) -> Result<T, Unreadable> {
    result.map_err(|error| json_error(&error))
}

/// The answer about one store.
///
/// # Errors
/// [`Unreadable`]: it is about another one, or of another form.
pub fn store<'b>(body: &'b [u8], id: &str) -> Result<Store<'b>, Unreadable> {
    let store = shown_store(body, of_json(json::whole(body))?)?;
    if store.id == id { Ok(store) } else { unreadable("it is about another vector store") }
}

fn shown_store(body: &[u8], value: Value) -> Result<Store<'_>, Unreadable> {
    if value.kind != Kind::Object {
        return unreadable("a vector store is not an object");
    }
    let (mut id, mut view) = (None, None);
    for member in of_json(json::iter_members(body, value))? {
        let json::Member { key, value } = of_json(member)?;
        match (&*key, value.kind) {
            ("id", Kind::String) => id = Some(of_json(json::string(body, value))?),
            ("name", Kind::String) => view = Some(of_json(json::string(body, value))?),
            ("object", Kind::String) if value.span.of(body) == br#""vector_store""# => {}
            ("status", Kind::String) | ("created_at", Kind::Number) => {}
            _ => return unreadable(format!("a vector store has `{}`, which is not known", shown(&key))),
        }
    }
    match (id, view) {
        (Some(id), Some(view)) => Ok(Store { id, view }),
        (_, _) => unreadable("a vector store has no `id` or no `name`"),
    }
}

/// Verifies the list of stores, and cuts it to those of these views.
///
/// # Errors
/// [`Unreadable`]: it is of another form.
pub fn filter_stores(body: &[u8], visible: &BTreeSet<&str>) -> Result<Answer, Unreadable> {
    let (mut list, mut data) = (false, None);
    for member in of_json(json::object(body))? {
        match (&*member.key, member.value.kind) {
            ("object", Kind::String) => list = member.value.span.of(body) == br#""list""#,
            ("data", Kind::Array) => data = Some(member.value),
            _ => return unreadable(format!("the list of vector stores has `{}`", shown(&member.key))),
        }
    }
    let Some(data) = data.filter(|_| list) else { return unreadable("it is no list of vector stores") };
    let mut out = br#"{"object":"list","data":["#.to_vec();
    let (mut first, mut dropped) = (true, 0);
    for item in of_json(json::iter_elements(body, data))? {
        let item = of_json(item)?;
        if !visible.contains(&*shown_store(body, item)?.view) {
            dropped += 1;
            continue;
        }
        if !first {
            out.push(b',');
        }
        first = false;
        out.extend_from_slice(item.span.of(body));
    }
    out.extend_from_slice(b"]}");
    Ok(if dropped == 0 { Answer::AsItCame } else { Answer::Cut { body: out.into(), dropped } })
}

/// Verifies what was found in a store, and builds it anew: of each row the attributes that may be returned, and the texts
/// among them as its content (of a row without texts the attributes themselves, in JSON). The id of a row holds its keys;
/// where one of those may not be returned, it holds the number of the row, as Feast writes it for a view without keys.
///
/// # Errors
/// [`Unreadable`]: an attribute that was not asked for, or another form.
pub fn filter_found(body: &[u8], id: &str, request: &InStore<'_>, permit: &Permit) -> Result<Answer, Unreadable> {
    let mut data = None;
    let mut page = false;
    let mut more: &[u8] = b"false";
    for member in of_json(json::object(body))? {
        match (&*member.key, member.value.kind) {
            ("object", Kind::String) => page = member.value.span.of(body) == br#""vector_store.search_results.page""#,
            ("data", Kind::Array) => data = Some(member.value),
            ("has_more", Kind::Bool(_)) => more = member.value.span.of(body),
            // What was looked for is known.
            ("search_query", Kind::Array) | ("next_page", Kind::Null) => {}
            _ => return unreadable(format!("what was found has `{}`, which is not known", shown(&member.key))),
        }
    }
    let Some(data) = data.filter(|_| page) else { return unreadable("it is no page of what was found") };
    let mut out = br#"{"object":"vector_store.search_results.page","search_query":["#.to_vec();
    out.extend_from_slice(&request.words.join(&b','));
    out.extend_from_slice(br#"],"data":["#);
    let mut dropped = 0;
    for (item, number) in of_json(json::iter_elements(body, data))?.zip(0_usize..) {
        if number > 0 {
            out.push(b',');
        }
        dropped += found(body, of_json(item)?, (id, number), permit, &mut out)?;
    }
    out.extend_from_slice(br#"],"has_more":"#);
    out.extend_from_slice(more);
    out.extend_from_slice(br#","next_page":null}"#);
    Ok(Answer::Cut { body: out.into(), dropped })
}

/// One row; how many of its attributes are cut.
fn found(
    body: &[u8],
    item: Value,
    (id, number): (&str, usize),
    permit: &Permit,
    out: &mut Vec<u8>,
) -> Result<usize, Unreadable> {
    if item.kind != Kind::Object {
        return unreadable("a row of what was found is not an object");
    }
    let (mut file, mut named, mut score, mut attributes) = (None, false, None, None);
    for member in of_json(json::iter_members(body, item))? {
        let json::Member { key, value } = of_json(member)?;
        match (&*key, value.kind) {
            ("file_id", Kind::String) => file = Some(value),
            ("filename", Kind::String) => named = of_json(json::string(body, value))? == id,
            ("score", Kind::Number) => score = Some(value),
            ("attributes", Kind::Object) => attributes = Some(value),
            // It is made of the attributes, and is made again of those that are left.
            ("content", Kind::Array) => {}
            _ => return unreadable(format!("a row of what was found has `{}`, which is not known", shown(&key))),
        }
    }
    let (Some(file), true, Some(score), Some(attributes)) = (file, named, score, attributes) else {
        return unreadable("a row of what was found is not whole, or of another vector store");
    };
    let file_id = of_json(json::string(body, file))?;
    if !file_id.strip_prefix(id).is_some_and(|rest| rest.starts_with('_')) {
        return unreadable("a row of what was found is of another vector store");
    }
    let (mut kept, mut texts, mut dropped) = (Vec::new(), Vec::new(), 0);
    for member in of_json(json::iter_members(body, attributes))? {
        let json::Member { key, value } = of_json(member)?;
        match permit.columns.get(&key) {
            Some((_, Column::Keep(_))) => {}
            Some((_, Column::Cut)) => {
                dropped += 1;
                continue;
            }
            None => return unreadable(format!("attribute `{}` was not asked for", shown(&key))),
        }
        kept.push(if kept.is_empty() { b'{' } else { b',' });
        json::write_string(&mut kept, &key);
        kept.push(b':');
        kept.extend_from_slice(value.span.of(body));
        if value.kind == Kind::String {
            texts.push(Cow::Borrowed(value.span.of(body)));
        }
    }
    if kept.is_empty() {
        kept.push(b'{');
    }
    kept.push(b'}');
    if texts.is_empty() {
        let mut all = Vec::with_capacity(kept.len() + 16);
        json::write_string(&mut all, &String::from_utf8_lossy(&kept));
        texts.push(Cow::Owned(all));
    }
    out.extend_from_slice(br#"{"file_id":"#);
    // It holds the keys of the row; which these are is not known where the catalogue has none.
    let hidden = permit.columns.iter().any(|(name, column)| column == Column::Cut && name != NO_KEY);
    if hidden || permit.entities.is_empty() {
        json::write_string(out, &format!("{id}_{number}"));
    } else {
        out.extend_from_slice(file.span.of(body));
    }
    out.extend_from_slice(br#","filename":"#);
    json::write_string(out, id);
    out.extend_from_slice(br#","score":"#);
    out.extend_from_slice(score.span.of(body));
    out.extend_from_slice(br#","attributes":"#);
    out.extend_from_slice(&kept);
    out.extend_from_slice(br#","content":["#);
    for (position, text) in texts.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        out.extend_from_slice(br#"{"type":"text","text":"#);
        out.extend_from_slice(text);
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    Ok(dropped)
}
