//! Feast's gRPC server, `feast listen` (wire-feast.md, section 2): the service `GrpcFeatureServer` of Feast 0.67.
//!
//! [`read`] understands a message that was [read strictly](crate::dialect::strict) as the [`Request`](super::Request) that
//! the same query over HTTP is, so that both are decided as one. [`rewrite`] builds the message that goes upstream of what was
//! understood. [`filter`] verifies the answer column by column, by name, and cuts what may not pass.
//!
//! Values are never taken apart: those of entities go upstream, and those of columns come back, byte for byte. What is
//! around them is encoded anew, so that a field which nobody knows is not in it.
//!
//! | field of `GetOnlineFeaturesRequest` | is |
//! |---|---|
//! | `feature_service`, `features` | decided; what is permitted of it goes upstream |
//! | `entities` | the keys that the query needs go upstream; a value without a kind, or a `null_val`, is a null |
//! | `full_feature_names` | how the answer's columns are called; upstream it is always true |
//! | `include_feature_view_version_metadata` | passed on; the answer is cut to the views of what is returned |
//! | `request_context` | refused: `feast listen` reads nothing from it, and other servers do |

pub mod proto;
pub mod shape;

mod answer;
mod request;

pub use answer::{Answer, filter};
pub use request::{read, rewrite};

/// A method of `GrpcFeatureServer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The online query.
    GetOnlineFeatures,
}

impl Method {
    /// All that the dialect reads.
    pub const ALL: [Self; 1] = [Self::GetOnlineFeatures];

    /// Its path, here and upstream.
    pub fn path(self) -> &'static str {
        match self {
            Self::GetOnlineFeatures => "/GrpcFeatureServer/GetOnlineFeatures",
        }
    }
}
