//! The conformance table: cases that any engine in front of a feature server can be held against, and what holds it.
//!
//! ```text
//! tests/conformance/*.yaml ── table ──┬─ export   policy, catalogue and configuration, for the engine
//!                                     ├─ serve    the feature server behind it: enforces nothing, misbehaves on request
//!                                     └─ run      asks as the callers of the cases do ── judge ── report
//! ```
//!
//! The table is in neutral names, `view.feature`; a [`Dialect`] spells them, builds the requests and reads the answers. What
//! is judged is never read with the code that is judged: answers are decoded with serde_json, arrow and prost alone.

mod chalk;
pub mod export;
mod feast;
mod json;
mod judge;
mod leak;
mod names;
pub mod report;
pub mod run;
pub mod serve;
pub mod table;
mod value;
mod wire;

pub use judge::Judge;
pub use value::Cell;

/// A wire that the cases can be put on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dialect {
    /// Feast's `POST /get-online-features`.
    Feast,
    /// Feast's `GrpcFeatureServer/GetOnlineFeatures`.
    FeastGrpc,
    /// Chalk's `POST /v1/query/online`.
    Chalk,
    /// Chalk's `POST /v1/query/feather`.
    ChalkFeather,
    /// Chalk's `QueryService/OnlineQueryBulk`, which chalkpy sends for every query.
    ChalkGrpc,
    /// A described server that answers an object for each row.
    JsonObjects,
    /// One that answers names and columns.
    JsonColumns,
    /// One that answers names and rows.
    JsonRows,
    /// One that answers records.
    JsonRecords,
}

/// Who makes the feature server: what names look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `view:feature`, keys without a view.
    Feast,
    /// `namespace.feature`.
    Chalk,
    /// `view.feature`, keys without a view.
    Json,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Feast,
        Self::FeastGrpc,
        Self::Chalk,
        Self::ChalkFeather,
        Self::ChalkGrpc,
        Self::JsonObjects,
        Self::JsonColumns,
        Self::JsonRows,
        Self::JsonRecords,
    ];

    /// How it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Feast => "feast",
            Self::FeastGrpc => "feast-grpc",
            Self::Chalk => "chalk",
            Self::ChalkFeather => "chalk-feather",
            Self::ChalkGrpc => "chalk-grpc",
            Self::JsonObjects => "json-objects",
            Self::JsonColumns => "json-columns",
            Self::JsonRows => "json-rows",
            Self::JsonRecords => "json-records",
        }
    }

    /// The dialect of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }

    /// Whose it is.
    pub fn family(self) -> Family {
        match self {
            Self::Feast | Self::FeastGrpc => Family::Feast,
            Self::Chalk | Self::ChalkFeather | Self::ChalkGrpc => Family::Chalk,
            Self::JsonObjects | Self::JsonColumns | Self::JsonRows | Self::JsonRecords => Family::Json,
        }
    }

    /// Whether a word of the table means it: its name, or that of its family, as `chalk` for all of Chalk's.
    pub fn is(self, word: &str) -> bool {
        self.name() == word || self.name().strip_prefix(word).is_some_and(|rest| rest.starts_with('-'))
    }
}
