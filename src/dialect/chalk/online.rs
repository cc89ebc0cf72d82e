//! Chalk's queries and uploads in JSON: `POST /v1/query/online`, the header of each query of `POST /v1/query/feather`,
//! and `POST /v1/upload_features` (wire-chalk.md, sections 3.1, 3.4 and 3.5).
//!
//! [`read`] takes a request apart, strictly: every key stands in one closed table, where it is checked, dropped or a
//! [`Switch`](super::query::Switch). [`rewrite`] builds the body that goes upstream from what was understood and
//! permitted. [`filter`] cuts the answer, field by field and column by column, by name.
//!
//! | key | is |
//! |---|---|
//! | `inputs`, `outputs`, `expression_outputs` | decided; what is permitted of them goes upstream |
//! | `now`, `include_meta`, `correlation_id`, `meta`, `encoding_options` | checked |
//! | `query_name`, `query_name_version` | a bundle; beside outputs the switch `context_tags` |
//! | `context` | `environment`: for the caller to compare; its tags: the switch `context_tags` |
//! | `explain`, `store_plan_stages`, `deployment_id`, `branch_id`, `staleness`, `planner_options`, `query_context`, `value_metrics_tag_by_features`, `overlay_graph` | switches |
//! | `input_schema_hint` | refused unless empty |
//! | any other | refused unless null |

mod answer;
mod part;
mod request;
mod rows;
mod table;
mod upload;

pub use answer::{filter, filter_meta};
pub(super) use part::is_duration;
pub use request::{Request, read, read_header, rewrite, rewrite_header};
pub use upload::{Upload, filter_upload, read_upload};

/// The route of a query in JSON.
pub const QUERY_PATH: &str = "/v1/query/online";
/// The route of an upload in JSON.
pub const UPLOAD_PATH: &str = "/v1/upload_features";

#[cfg(test)]
mod tests;
