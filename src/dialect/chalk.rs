//! The Chalk dialect: queries in JSON and in protobuf, and the expressions that callers write (wire-chalk.md).
//!
//! ```text
//! shape       what each message that a caller may send consists of
//! proto       the messages, of requests and of answers; prost drops what is unknown in an answer
//! query       what a caller asks, in whichever of the three encodings, and what is permitted of it
//! names       the spellings of an output -> the features that it stands for, spelled out
//! expression  a caller's expression -> what it reads, and the same expression built anew
//! reads       what it reads -> features and relations of the catalogue
//! plan        a query and a policy -> what is permitted of it
//! online      queries and uploads in JSON: read strictly, built anew, the answer cut
//! rpc         queries in protobuf: the same
//! headers     the closed table of X-Chalk-* headers
//! error       errors of ours, and those of the upstream without what can carry values
//! container   the two framings of bulk bodies
//! table       Arrow IPC files: columns, and files of fewer of them
//! feather     answers of bulk queries, and uploads
//! token       the exchange of client credentials for a token, its answer without a way round us
//! integrations  data sources: which the caller reaches, which it may change, answers without secrets
//! agent       what the caller may, as a map of tags
//! json        messages in JSON <-> in protobuf, by their shapes
//! ```

pub mod agent;
pub mod container;
pub mod error;
pub mod expression;
pub mod feather;
pub mod headers;
pub mod integrations;
pub mod json;
mod names;
pub mod online;
pub mod plan;
pub mod proto;
pub mod query;
mod reads;
pub mod rpc;
pub mod shape;
pub mod table;
pub mod token;
