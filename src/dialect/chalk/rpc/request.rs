//! The request: read strictly, encoded anew.

use bytes::Bytes;
use prost::Message as _;

use super::value::{is_null, is_whole, label, optional, refuse, time};
use super::{Asked, Method, Request, Rest, Slot};
use crate::dialect::chalk::expression;
use crate::dialect::chalk::online::is_duration;
use crate::dialect::chalk::proto::{
    BulkInputs, GenericSingleQuery, OnlineQueryBulkRequest, OnlineQueryContext, OnlineQueryMultiRequest,
    OnlineQueryRequest, OnlineQueryResponseOptions, Output, OutputExpr, SingleQuery, ValueKind,
};
use crate::dialect::chalk::query::{Input, Permit, Query, Switch};
use crate::dialect::chalk::table::Table;
use crate::dialect::strict;
use crate::dialect::{Invalid, shown};

/// Entries that a list or a map may have. What is decided and audited of each is many times longer.
const MOST: usize = 10_000;

/// The option that chalkpy always sends.
const PLAN_STAGES: &str = "store_plan_stages";

/// Reads a message. `versioned`: a name without a version means version 1. `most` bounds what all of its tables
/// together unpack to, in bytes and in rows.
///
/// # Errors
/// [`Invalid`] names what is in the way: protobuf that is not [strict], a part of another form, an output, an input or
/// a query that is none, a query that asks for nothing; with the number of the query where there are several.
pub fn read(method: Method, message: &Bytes, versioned: bool, most: usize) -> Result<Request, Invalid> {
    let mut left = most;
    let queries = match method {
        Method::OnlineQuery => vec![single(strict::decode(message)?, versioned)?],
        Method::OnlineQueryBulk => vec![bulk(strict::decode(message)?, versioned, &mut left)?],
        Method::OnlineQueryMulti => {
            let message: OnlineQueryMultiRequest = strict::decode(message)?;
            if message.queries.is_empty() {
                return Err(Invalid("`queries` is empty".to_owned()));
            }
            few("queries", message.queries.len())?;
            let mut queries = Vec::with_capacity(message.queries.len());
            for (position, query) in message.queries.into_iter().enumerate() {
                let query = match query.query {
                    Some(SingleQuery::Single(query)) => single(query, versioned),
                    Some(SingleQuery::Bulk(query)) => bulk(query, versioned, &mut left),
                    None => Err(Invalid("neither `single_request` nor `bulk_request` is given".to_owned())),
                };
                queries.push(query.map_err(|Invalid(why)| Invalid(format!("in `queries[{position}]`: {why}")))?);
            }
            let outputs = queries.iter().map(|asked| asked.query.outputs.len() + asked.query.expressions.len());
            few("outputs", outputs.sum())?;
            queries
        }
    };
    Ok(Request { method, queries })
}

fn single(mut message: OnlineQueryRequest, versioned: bool) -> Result<Asked, Invalid> {
    few("inputs", message.inputs.len())?;
    let mut query = Query { versioned, ..Query::default() };
    for (name, value) in &message.inputs {
        if !is_whole(value) {
            return Err(Invalid(format!("the input `{}` has a value that is none", shown(name))));
        }
        query.inputs.push(Input { name: name.clone().into(), has_null: is_null(value) });
    }
    if let Some(now) = message.now {
        time("now", now)?;
    }
    outputs(std::mem::take(&mut message.outputs), &mut query)?;
    staleness(&message.staleness, &mut query)?;
    let include_meta = options(message.response_options.as_ref(), &mut query)?;
    let environment = context(message.context.as_mut(), &mut query)?;
    Ok(Asked { query, environment, include_meta, rest: Rest::Single(Box::new(message)) })
}

fn bulk(mut message: OnlineQueryBulkRequest, versioned: bool, left: &mut usize) -> Result<Asked, Invalid> {
    let mut query = Query { versioned, ..Query::default() };
    let table = match message.inputs.take() {
        None => return Err(Invalid("neither `inputs_feather` nor `inputs_sql` is given".to_owned())),
        Some(BulkInputs::Feather(bytes)) => {
            let table = Table::read(&bytes, *left)?;
            *left = left.saturating_sub(table.size());
            let columns = table.columns().map(|(name, has_null)| Input { name: name.to_owned().into(), has_null });
            query.inputs = columns.collect();
            few("inputs", query.inputs.len())?;
            Some(table)
        }
        Some(BulkInputs::Sql(sql)) => {
            query.switches.insert(Switch::InputsSql);
            message.inputs = Some(BulkInputs::Sql(sql));
            None
        }
    };
    message.now.iter().try_for_each(|now| time("now", *now))?;
    outputs(std::mem::take(&mut message.outputs), &mut query)?;
    staleness(&message.staleness, &mut query)?;
    let include_meta = options(message.response_options.as_ref(), &mut query)?;
    let environment = context(message.context.as_mut(), &mut query)?;
    Ok(Asked { query, environment, include_meta, rest: Rest::Bulk(Box::new(message), table) })
}

fn few(way: &str, entries: usize) -> Result<(), Invalid> {
    if entries > MOST { Err(refuse(way, &format!("has more than {MOST} entries"))) } else { Ok(()) }
}

fn outputs(all: Vec<OutputExpr>, query: &mut Query<'_>) -> Result<(), Invalid> {
    few("outputs", all.len())?;
    for (position, output) in all.into_iter().enumerate() {
        match output.expr {
            Some(Output::Feature(name)) => query.outputs.push(name.into()),
            Some(Output::Expression(bytes)) => query.expressions.push(expression::read(&bytes)?),
            None => return Err(refuse(&format!("outputs[{position}]"), "is neither a feature nor an expression")),
        }
    }
    Ok(())
}

fn staleness(all: &std::collections::BTreeMap<String, String>, query: &mut Query<'_>) -> Result<(), Invalid> {
    few("staleness", all.len())?;
    if all.values().any(|text| !is_duration(text)) {
        return Err(refuse("staleness", "has a value that is not a duration"));
    }
    query.named.extend(all.keys().cloned());
    if !all.is_empty() {
        query.switches.insert(Switch::Staleness);
    }
    Ok(())
}

/// What is asked for beside values; whether the meta of fields is.
fn options(options: Option<&OnlineQueryResponseOptions>, query: &mut Query<'_>) -> Result<bool, Invalid> {
    let Some(options) = options else { return Ok(false) };
    few("response_options.metadata", options.metadata.len())?;
    if options.explain.is_some() {
        query.switches.insert(Switch::Explain);
    }
    Ok(options.include_meta)
}

/// The context, in which what asks for nothing is cleared; the environment that is meant.
fn context(context: Option<&mut OnlineQueryContext>, query: &mut Query<'_>) -> Result<Option<String>, Invalid> {
    let mut environment = None;
    let mut none = OnlineQueryContext::default();
    let context = context.unwrap_or(&mut none);
    label("context.environment", &context.environment)?;
    if !context.environment.is_empty() {
        environment = Some(context.environment.clone());
    }
    for (way, tags) in
        [("context.tags", &context.tags), ("context.required_resolver_tags", &context.required_resolver_tags)]
    {
        few(way, tags.len())?;
        tags.iter().try_for_each(|tag| label(way, tag))?;
        if !tags.is_empty() {
            query.switches.insert(Switch::ContextTags);
        }
    }
    for (way, text) in [
        ("context.correlation_id", &mut context.correlation_id),
        ("context.deployment_id", &mut context.deployment_id),
        ("context.branch_id", &mut context.branch_id),
        ("context.query_name", &mut context.query_name),
        ("context.query_name_version", &mut context.query_name_version),
    ] {
        optional(way, text)?;
    }
    if context.deployment_id.is_some() || context.branch_id.is_some() {
        query.switches.insert(Switch::Branch);
    }
    planner(context, query)?;
    metrics(context, query)?;
    few("context.query_context", context.query_context.len())?;
    if context.query_context.values().any(|value| matches!(value.kind, Some(ValueKind::Struct(_) | ValueKind::List(_))))
    {
        return Err(refuse("context.query_context", "holds a list or an object"));
    }
    if !context.query_context.values().all(is_whole) {
        return Err(refuse("context.query_context", "has a value that is none"));
    }
    if !context.query_context.is_empty() {
        query.switches.insert(Switch::QueryContext);
    }
    context.overlay_graph = context.overlay_graph.take().filter(|graph| !graph.is_empty());
    if context.overlay_graph.is_some() {
        query.switches.insert(Switch::OverlayGraph);
    }
    name(context, query)?;
    Ok(environment)
}

/// `options`: the planner's, and among them whether the values between the stages are kept. A null is none.
fn planner(context: &mut OnlineQueryContext, query: &mut Query<'_>) -> Result<(), Invalid> {
    few("context.options", context.options.len())?;
    if !context.options.values().all(is_whole) {
        return Err(refuse("context.options", "has a value that is none"));
    }
    context.options.retain(|_, value| !is_null(value));
    for (name, value) in &context.options {
        let switch = match (name.as_str(), &value.kind) {
            (PLAN_STAGES, Some(ValueKind::Bool(false))) => continue,
            (PLAN_STAGES, Some(ValueKind::Bool(true))) => Switch::PlanStages,
            (PLAN_STAGES, _) => return Err(refuse("context.options.store_plan_stages", "is neither true nor false")),
            _ => Switch::PlannerOptions,
        };
        query.switches.insert(switch);
    }
    Ok(())
}

/// Features whose values become labels of metrics: by name alone.
fn metrics(context: &OnlineQueryContext, query: &mut Query<'_>) -> Result<(), Invalid> {
    let way = "context.value_metrics_tag_by_features";
    few(way, context.value_metrics_tag_by_features.len())?;
    for output in &context.value_metrics_tag_by_features {
        let Some(Output::Feature(name)) = &output.expr else {
            return Err(refuse(way, "has an entry that is no feature's name"));
        };
        // A namespace would be all of its features.
        if !name.contains('.') {
            return Err(refuse(way, &format!("names `{}`, which is no feature", shown(name))));
        }
        query.named.insert(name.clone());
        query.switches.insert(Switch::ValueMetrics);
    }
    Ok(())
}

/// A named query: a bundle, or beside outputs a choice of data sources, as the server adds its tags.
fn name(context: &OnlineQueryContext, query: &mut Query<'_>) -> Result<(), Invalid> {
    let asks = !(query.outputs.is_empty() && query.expressions.is_empty());
    match (&context.query_name, &context.query_name_version) {
        (None, Some(_)) => {
            return Err(refuse("context.query_name_version", "is given without `context.query_name`"));
        }
        (None, None) if !asks => {
            return Err(Invalid("neither `outputs` nor `context.query_name` says what is asked for".to_owned()));
        }
        (Some(_), _) if asks => {
            query.switches.insert(Switch::ContextTags);
        }
        (Some(_) | None, _) => {}
    }
    query.name.clone_from(&context.query_name);
    query.version.clone_from(&context.query_name_version);
    Ok(())
}

/// The message that goes upstream: of each query that is sent, in their order, the outputs, expressions and inputs that
/// are permitted, and what else was understood. `slots` has one for each query. The name of a query goes with its
/// outputs, spelled out: the server adds the tags that it has for that name, and no other outputs. `None`: no query is
/// sent.
///
/// # Errors
/// A table that cannot be written anew.
pub fn rewrite(request: &Request, slots: &[Slot<'_>]) -> Result<Option<Bytes>, Invalid> {
    let mut messages = Vec::with_capacity(slots.len());
    for (asked, slot) in request.queries.iter().zip(slots) {
        if let Slot::Sent(permit) = slot {
            messages.push(sent(asked, permit)?);
        }
    }
    let encoded = match request.method {
        Method::OnlineQueryMulti if messages.is_empty() => return Ok(None),
        Method::OnlineQueryMulti => {
            let queries = messages.into_iter().map(|query| GenericSingleQuery { query: Some(query) }).collect();
            OnlineQueryMultiRequest { queries }.encode_to_vec()
        }
        Method::OnlineQuery | Method::OnlineQueryBulk => match messages.pop() {
            None => return Ok(None),
            Some(SingleQuery::Single(message)) => message.encode_to_vec(),
            Some(SingleQuery::Bulk(message)) => message.encode_to_vec(),
        },
    };
    Ok(Some(encoded.into()))
}

fn sent(asked: &Asked, permit: &Permit) -> Result<SingleQuery, Invalid> {
    let features = permit.outputs.iter().map(|name| Output::Feature(name.clone()));
    let expressions = permit.expressions.iter().filter_map(|&position| asked.query.expressions.get(position));
    let expressions = expressions.map(|expression| Output::Expression(expression.encoded.clone()));
    let outputs: Vec<_> = features.chain(expressions).map(|expr| OutputExpr { expr: Some(expr) }).collect();
    Ok(match &asked.rest {
        Rest::Single(rest) => {
            let mut message = OnlineQueryRequest::clone(rest);
            message.inputs.retain(|name, _| permit.inputs.contains(name));
            message.outputs = outputs;
            SingleQuery::Single(message)
        }
        Rest::Bulk(rest, table) => {
            let mut message = OnlineQueryBulkRequest::clone(rest);
            if let Some(table) = table {
                let kept = table.keep(|name| permit.inputs.contains(name))?;
                message.inputs = Some(BulkInputs::Feather(kept));
            }
            message.outputs = outputs;
            SingleQuery::Bulk(message)
        }
    })
}
