//! Writes: understood, encoded anew.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message as _;

use super::proto::{PushRequest, Text, WriteToOnlineStoreRequest};
use super::{Method, shape};
use crate::dialect::feast::write::{Sent, TIMES, Target, Write, few, is_time, may_go_to};
use crate::dialect::{Invalid, Unreadable, strict};

/// A message that writes.
#[derive(Debug)]
pub enum ToWrite {
    /// To a push source.
    Push(PushRequest),
    /// To a feature view.
    View(WriteToOnlineStoreRequest),
}

impl ToWrite {
    /// Reads the message of a method; `None`: it is no write.
    ///
    /// # Errors
    /// [`Invalid`] names what is in the way.
    pub fn read(method: Method, message: &Bytes) -> Result<Option<Self>, Invalid> {
        Ok(match method {
            Method::GetOnlineFeatures => None,
            Method::Push => Some(Self::Push(strict::decode(message)?)),
            Method::WriteToOnlineStore => Some(Self::View(strict::decode(message)?)),
        })
    }

    /// What is decided of it.
    ///
    /// # Errors
    /// [`Invalid`] names what is in the way.
    pub fn write(&self) -> Result<Write<'_>, Invalid> {
        let (target, columns) = match self {
            Self::Push(push) => {
                named("stream_feature_view", &push.stream_feature_view)?;
                may_go_to(&push.to)?;
                let target = Target::Source(push.stream_feature_view.as_str().into());
                (target, columns(&push.features, &push.typed_features)?)
            }
            Self::View(write) => {
                named("feature_view_name", &write.feature_view_name)?;
                let target = Target::Views(vec![write.feature_view_name.as_str().into()]);
                (target, columns(&write.features, &write.typed_features)?)
            }
        };
        Ok(Write { target, columns })
    }

    /// The message that goes upstream.
    pub fn message(&self) -> Vec<u8> {
        match self {
            Self::Push(push) => push.encode_to_vec(),
            Self::View(write) => write.encode_to_vec(),
        }
    }
}

fn named(field: &str, name: &str) -> Result<(), Invalid> {
    if name.is_empty() { Err(Invalid(format!("`{field}` names nothing"))) } else { Ok(()) }
}

/// The columns of the one row that is sent: as texts, or as values.
fn columns<'m>(
    texts: &'m BTreeMap<String, String>,
    values: &'m BTreeMap<String, Bytes>,
) -> Result<Vec<Sent<'m>>, Invalid> {
    match (texts.is_empty(), values.is_empty()) {
        (true, true) => return Err(Invalid("neither `features` nor `typed_features` is given".to_owned())),
        (false, false) => {
            let problem = "`features` and `typed_features` are both given, and Feast takes one of them";
            return Err(Invalid(problem.to_owned()));
        }
        _ => {}
    }
    few(texts.len().max(values.len()))?;
    let sent = |name: &'m String, time: bool| {
        let times = time || TIMES.contains(&name.as_str());
        Sent { name: name.as_str().into(), times }
    };
    let texts = texts.iter().map(|(name, text)| sent(name, is_time(text.as_bytes())));
    Ok(texts.chain(values.iter().map(|(name, value)| sent(name, says_time(value)))).collect())
}

/// Whether a `Value` is a text that is a point in time. A number may be anything, whatever it is called.
fn says_time(value: &Bytes) -> bool {
    Text::decode(value.clone()).ok().and_then(|text| text.string_val).is_some_and(|text| is_time(text.as_bytes()))
}

/// Verifies what is answered to a write: that it is done or not, and nothing else.
///
/// # Errors
/// [`Unreadable`]: there is more in it.
pub fn verify(answer: &[u8]) -> Result<(), Unreadable> {
    strict::check(&shape::WRITTEN, answer)
        .map_err(|Invalid(problem)| Unreadable(format!("what is answered to a write: {problem}")))
}
