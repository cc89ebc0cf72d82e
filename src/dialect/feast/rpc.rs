//! Feast's gRPC server, `feast listen` (wire-feast.md, section 2): the service `GrpcFeatureServer` of Feast 0.67.
//!
//! [`read`] understands a message that was [read strictly](crate::dialect::strict) as the [`Request`](super::Request) that
//! the same query over HTTP is, so that both are decided as one. [`rewrite`] builds the message that goes upstream of what was
//! understood. [`filter`] verifies the answer column by column, by name, and cuts what may not pass.
//!
//! Values are never taken apart: those of entities go upstream, and those of columns come back, byte for byte. What is
//! around them is encoded anew, so that a field which nobody knows is not in it.
//!
//! A [write](ToWrite) is understood as the [`Write`](super::Write) that it is over HTTP, in the same way.
//!
//! | field of `GetOnlineFeaturesRequest` | is |
//! |---|---|
//! | `feature_service`, `features` | decided; what is permitted of it goes upstream |
//! | `entities` | the keys that the query needs go upstream; a value without a kind, or a `null_val`, is a null |
//! | `full_feature_names` | how the answer's columns are called; upstream it is always true |
//! | `include_feature_view_version_metadata` | passed on; the answer is cut to the views of what is returned |
//! | `request_context` | refused: `feast listen` reads nothing from it, and other servers do |
//!
//! | field of `PushRequest`, `WriteToOnlineStoreRequest` | is |
//! |---|---|
//! | `stream_feature_view`, `feature_view_name` | what is written: a push source, a view |
//! | `features`, `typed_features` | one row: its columns are decided; one of the two |
//! | `to`, `allow_registry_cache` | checked, passed on |

pub mod proto;
pub mod shape;

mod answer;
mod request;
mod write;

pub use crate::config::feast::Method;
pub use answer::{Answer, filter};
pub use request::{read, rewrite};
pub use write::{ToWrite, verify};
