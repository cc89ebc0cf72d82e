//! What comes back of data sources: made anew, of what cannot hold a secret.

use bytes::Bytes;
use prost::Message;

use super::data_source;
use crate::dialect::Unreadable;
use crate::dialect::chalk::proto::{
    DeleteIntegrationResponse, Integration, IntegrationResponse, IntegrationWarning, ListIntegrationsResponse,
    TestIntegrationResponse,
};

/// What the answer to a call that went upstream must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Of a test of this kind.
    Tested {
        /// Its number.
        kind: i32,
    },
    /// The source that was made or changed.
    Changed {
        /// Its id, where it was known.
        id: Option<String>,
        /// Its name by now.
        name: Option<String>,
        /// The number of its kind.
        kind: i32,
    },
    /// Nothing.
    Deleted,
}

/// Reads the server's list.
///
/// # Errors
/// It is no such message.
pub fn listed(message: &Bytes) -> Result<Vec<Integration>, Unreadable> {
    decode::<ListIntegrationsResponse>(message).map(|list| list.integrations)
}

impl Expected {
    /// The answer that its caller may have.
    ///
    /// # Errors
    /// It is about another source, or no such message.
    pub fn filter(&self, message: &Bytes) -> Result<Bytes, Unreadable> {
        Ok(match self {
            Self::Tested { kind } => {
                let TestIntegrationResponse { kind: _, success, message: _, latency_seconds } = decode(message)?;
                let kind = data_source(*kind).map_or_else(String::new, |kind| kind.name.to_ascii_lowercase());
                // Its own text can hold a row, or the whole address with the password.
                let text = if success { "ok" } else { "the data source cannot be connected to" };
                let latency_seconds = latency_seconds.filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
                let answer = TestIntegrationResponse { kind, success, message: text.to_owned(), latency_seconds };
                answer.encode_to_vec().into()
            }
            Self::Changed { id, name, kind } => {
                let changed = decode::<IntegrationResponse>(message)?.integration;
                let changed = changed.ok_or_else(|| unreadable("the answer holds no data source"))?;
                if id.as_ref().is_some_and(|id| *id != changed.id) || *name != changed.name || *kind != changed.kind {
                    return Err(unreadable("the answer is about another data source"));
                }
                IntegrationResponse { integration: Some(plain(&changed)) }.encode_to_vec().into()
            }
            Self::Deleted => decode::<DeleteIntegrationResponse>(message)?.encode_to_vec().into(),
        })
    }
}

/// A source as callers may see it: its warnings are of Chalk's closed list, in words of ours.
pub(super) fn plain(source: &Integration) -> Integration {
    Integration { warnings: source.warnings.iter().filter_map(warning).collect(), ..source.clone() }
}

/// `None`: none of those that are known, whose texts could say anything.
fn warning(warning: &IntegrationWarning) -> Option<IntegrationWarning> {
    let (title, message) = match warning.code {
        1 => ("Unload is not configured", "Snowflake has no place to unload large results to"),
        2 => ("Authentication by password", "Snowflake is logged into with a password"),
        _ => return None,
    };
    let (title, message) = (title.to_owned(), message.to_owned());
    Some(IntegrationWarning { code: warning.code, title, message, config_keys: Vec::new() })
}

fn decode<M: Message + Default>(message: &Bytes) -> Result<M, Unreadable> {
    M::decode(message.clone()).map_err(|_| unreadable("the answer about data sources is no such message"))
}

fn unreadable(why: &str) -> Unreadable {
    Unreadable(why.to_owned())
}
