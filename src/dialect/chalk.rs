//! Chalk's protobuf and the expressions that callers write (wire-chalk.md, sections 2.3, 2.6, 5.1, 6, 7 and 8).
//!
//! ```text
//! shape       what each message that a caller may send consists of
//! strict      bytes and a shape -> nothing unknown, doubled, ambiguous or cut off; then prost
//! proto       the messages, of requests and of answers; prost drops what is unknown in an answer
//! query       what a caller asks, in whichever of the three encodings, and what is permitted of it
//! expression  a caller's expression -> what it reads, and the same expression built anew
//! ```

pub mod expression;
mod names;
pub mod plan;
pub mod proto;
pub mod query;
mod reads;
pub mod shape;
pub mod strict;
