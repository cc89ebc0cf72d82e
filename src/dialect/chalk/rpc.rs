//! Chalk's queries in protobuf: `QueryService/OnlineQuery`, `OnlineQueryBulk` and `OnlineQueryMulti` (wire-chalk.md,
//! section 6).
//!
//! [`read`] takes a message apart, strictly: what it may consist of stands in [`shape`](super::shape), and each part is
//! checked, dropped or a [`Switch`](super::query::Switch), as in [`online`](super::online). [`rewrite`] encodes anew
//! what was understood and permitted. [`filter`] cuts the answer, which is encoded anew, too: what prost does not know
//! is not in it.
//!
//! | field | is |
//! |---|---|
//! | `inputs`, `inputs_feather`, `outputs` | decided; what is permitted of them goes upstream |
//! | `now`, `body_type`, `include_meta`, `encoding_options`, `metadata`, `correlation_id` | checked |
//! | `query_name`, `query_name_version` | a bundle; beside outputs the switch `context_tags` |
//! | `environment` | for the caller to compare |
//! | `explain`, `options`, `staleness`, `tags`, `required_resolver_tags`, `deployment_id`, `branch_id`, `query_context`, `value_metrics_tag_by_features`, `overlay_graph`, `inputs_sql` | switches |

use super::proto::{ChalkError, OnlineQueryBulkRequest, OnlineQueryRequest};
use super::query::{Permit, Query};
use super::table::Table;

mod answer;
mod request;
mod value;

pub use answer::{Answer, filter, refused};
pub use request::{read, rewrite};

/// A method that is a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// One row.
    OnlineQuery,
    /// A table of rows; chalkpy's single queries, too.
    OnlineQueryBulk,
    /// Several of both.
    OnlineQueryMulti,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::OnlineQuery, Self::OnlineQueryBulk, Self::OnlineQueryMulti];

    /// Its path, here and upstream.
    pub fn path(self) -> &'static str {
        match self {
            Self::OnlineQuery => "/chalk.engine.v1.QueryService/OnlineQuery",
            Self::OnlineQueryBulk => "/chalk.engine.v1.QueryService/OnlineQueryBulk",
            Self::OnlineQueryMulti => "/chalk.engine.v1.QueryService/OnlineQueryMulti",
        }
    }
}

/// A message, as it was read.
#[derive(Debug)]
pub struct Request {
    /// The method that it is for.
    pub method: Method,
    /// Its queries in their order; exactly one but for `OnlineQueryMulti`.
    pub queries: Vec<Asked>,
}

/// One query of it.
#[derive(Debug)]
pub struct Asked {
    /// What is asked.
    pub query: Query<'static>,
    /// `context.environment`, to be compared with the configured one. Empty is none.
    pub environment: Option<String>,
    /// `include_meta`: how each field was computed may be in the answer.
    pub include_meta: bool,
    rest: Rest,
}

/// What goes upstream beside the outputs and the inputs of a table.
#[derive(Debug)]
enum Rest {
    Single(Box<OnlineQueryRequest>),
    /// `None` where the input is SQL.
    Bulk(Box<OnlineQueryBulkRequest>, Option<Table>),
}

/// What became of a query of a request.
#[derive(Clone, Debug)]
pub enum Slot<'p> {
    /// It goes upstream.
    Sent(&'p Permit),
    /// It does not: what its caller is told.
    Refused(Vec<ChalkError>),
}

#[cfg(test)]
mod tests;
