//! The request: understood, encoded anew.

use std::borrow::Cow;

use bytes::Bytes;
use prost::Message as _;

use super::proto::{FeatureList, GetOnlineFeaturesRequest, Kind, RepeatedValue};
use crate::dialect::Invalid;
use crate::dialect::feast::plan::Permit;
use crate::dialect::feast::request::{Asked, DUMMY_KEY, Entity, Request, Rows, Wanted, few};

/// How a `Value` begins that is a `null_val`: the field 19, a number.
const NULL_VAL: [u8; 2] = [0x98, 0x01];
/// A `RepeatedValue` of one empty `string_val`.
const EMPTY_TEXT: [u8; 4] = [0x0a, 0x02, 0x12, 0x00];

/// Understands a message.
///
/// # Errors
/// [`Invalid`] names what is in the way.
pub fn read(message: &GetOnlineFeaturesRequest) -> Result<Request<'_>, Invalid> {
    let (service, features) = match &message.kind {
        None => (None, &[][..]),
        // Feast knows no service without a name.
        Some(Kind::FeatureService(name)) => (Some(name.as_str()).filter(|name| !name.is_empty()), &[][..]),
        Some(Kind::Features(list)) => (None, list.val.as_slice()),
    };
    few(features.len())?;
    let wanted = Wanted::of(service.map(Cow::Borrowed), features.iter().map(|name| name.as_str().into()).collect())?;
    let asked = Asked::Wanted(wanted);
    let (mut entities, mut rows) = (Vec::with_capacity(message.entities.len()), Rows::default());
    for (name, values) in &message.entities {
        let list = RepeatedValue::decode(values.clone());
        let list = list.map_err(|_| Invalid("`entities` does not read as protobuf".to_owned()))?;
        rows.count(name, list.val.len())?;
        // A value has one kind at most, and nothing else: that was checked.
        let has_null = list.val.iter().any(|value| value.is_empty() || value.starts_with(&NULL_VAL));
        entities.push(Entity { name: name.as_str().into(), values, has_null });
    }
    Request::of(asked, entities, rows, message.full_feature_names, message.include_feature_view_version_metadata)
}

/// The message that goes upstream: what was decided, and the values of the entities that it needs as they were sent.
pub fn rewrite(message: &GetOnlineFeaturesRequest, request: &Request<'_>, permit: &Permit) -> Vec<u8> {
    let names = permit.wanted.names.references().map(str::to_owned);
    let kind = if permit.wanted.service {
        Kind::FeatureService(names.collect())
    } else {
        Kind::Features(FeatureList { val: names.collect() })
    };
    let mut sent = GetOnlineFeaturesRequest {
        kind: Some(kind),
        entities: message.entities.clone(),
        full_feature_names: permit.full_names,
        include_feature_view_version_metadata: request.view_metadata,
    };
    sent.entities.retain(|name, _| permit.forwards(name));
    if sent.entities.is_empty() {
        sent.entities.insert(DUMMY_KEY.to_owned(), Bytes::from(EMPTY_TEXT.repeat(request.rows)));
    }
    sent.encode_to_vec()
}
