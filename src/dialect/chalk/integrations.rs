//! Chalk's data sources: `IntegrationsService` (wire-chalk.md, section 7).
//!
//! A request names an id, and a policy knows names. So the server is asked for its list before anything else, and what a call
//! is about is looked up in it ([`Call::decide`]): what is not there and what the caller does not reach are alike. Of what the
//! list tells the questions after one source are answered at once, so that its secrets do not even come this far.
//!
//! | method | may | forwarded |
//! |---|---|---|
//! | ListIntegrations | any role: what it reaches | it is the list |
//! | GetIntegration, GetIntegrationByName | who reaches it | no: answered from the list, without secrets |
//! | TestIntegration of a saved source | who reaches it | yes |
//! | TestIntegration with settings | who manages; with a saved source also reaches it | yes |
//! | InsertIntegration | who manages, and reaches what has that name | yes |
//! | UpdateIntegration, DeleteIntegration | who manages and reaches it, and what has its new name | yes |
//!
//! Who manages a source says where its credentials are sent: `manage` is trusted with them. Each answer is made anew, of what
//! cannot hold a secret: no text of a test, of a warning or of an error passes.

mod answer;
mod request;

use bytes::Bytes;
use prost::Message as _;

use super::proto::{
    DeleteIntegrationRequest, GetIntegrationResponse, InsertIntegrationRequest, Integration, IntegrationKind,
    IntegrationResponse, IntegrationWithSecrets, ListIntegrationsResponse, TestIntegrationRequest,
    UpdateIntegrationRequest,
};
use crate::policy::Policy;
use crate::policy::resolve::RoleId;
pub use answer::{Expected, listed};
pub use request::read;

/// A method that is served; the rest of the service is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are called as in Chalk's descriptors")]
pub enum Method {
    List,
    Get,
    GetByName,
    Test,
    Insert,
    Update,
    Delete,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::List, Self::Get, Self::GetByName, Self::Test, Self::Insert, Self::Update, Self::Delete];

    /// Its path, here and upstream.
    pub fn path(self) -> &'static str {
        match self {
            Self::List => "/chalk.server.v1.IntegrationsService/ListIntegrations",
            Self::Get => "/chalk.server.v1.IntegrationsService/GetIntegration",
            Self::GetByName => "/chalk.server.v1.IntegrationsService/GetIntegrationByName",
            Self::Test => "/chalk.server.v1.IntegrationsService/TestIntegration",
            Self::Insert => "/chalk.server.v1.IntegrationsService/InsertIntegration",
            Self::Update => "/chalk.server.v1.IntegrationsService/UpdateIntegration",
            Self::Delete => "/chalk.server.v1.IntegrationsService/DeleteIntegration",
        }
    }
}

/// A request, as it was read: names, kinds and settings are of their form. Its `Debug` has no setting in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// All.
    List,
    /// One, by its id.
    Get(String),
    /// One, by its name.
    GetByName(String),
    /// Whether one can be connected to; `preview` is never asked for.
    Test(TestIntegrationRequest),
    /// A new one.
    Insert(InsertIntegrationRequest),
    /// Other settings, or another name; an empty name is the old one.
    Update(UpdateIntegrationRequest),
    /// One less.
    Delete(DeleteIntegrationRequest),
}

/// Who calls.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The rules.
    pub policy: &'a Policy,
    /// The caller's roles.
    pub roles: &'a [RoleId],
    /// The configured environment; a source of another one is none, and without it one that is said to be of any.
    pub environment: Option<&'a str>,
}

/// Why a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The caller's roles do not manage data sources, or not of this name, whether there is one or not.
    Manage,
    /// There is none, or none that the caller reaches.
    NotFound,
}

/// What happens with a call that is permitted.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// It is answered with this message; so many sources were taken out.
    Answer(Bytes, usize),
    /// This message goes upstream, and its answer is read so.
    Forward(Bytes, Expected),
}

impl Call {
    /// Whether the server's list is needed; else the call is about no saved source.
    pub fn looks_up(&self) -> bool {
        !matches!(self, Self::Test(test) if test.integration_id.is_none())
    }

    /// What it is about, as the caller wrote it: an id or a name. `None`: all, or what is not saved.
    pub fn about(&self) -> Option<&str> {
        match self {
            Self::List => None,
            Self::Get(named) | Self::GetByName(named) => Some(named),
            Self::Test(test) => test.integration_id.as_deref(),
            Self::Insert(insert) => Some(&insert.name),
            Self::Update(update) => Some(&update.integration_id),
            Self::Delete(delete) => Some(&delete.id),
        }
    }

    /// What can be said before the server is asked for anything: whether the caller may change sources at all, and have a new
    /// one of this name.
    ///
    /// # Errors
    /// [`Refused::Manage`].
    pub fn admit(&self, asker: Asker<'_>) -> Result<(), Refused> {
        match self {
            Self::Insert(insert) => asker.manages(None, insert.called(), &[]),
            Self::Update(_) | Self::Delete(_) => asker.manages(None, None, &[]),
            Self::Test(test) if has_settings(test) => asker.manages(None, None, &[]),
            Self::Test(_) | Self::List | Self::Get(_) | Self::GetByName(_) => Ok(()),
        }
    }

    /// The saved source that it is about, of those that the caller reaches.
    pub fn source<'l>(&self, asker: Asker<'_>, listed: &'l [Integration]) -> Option<&'l Integration> {
        let reached = |source: &&Integration| asker.one(|roles| asker.reaches(roles, source));
        // Of two that are called alike nobody knows which is meant; an id is the server's to understand, a name is ours.
        match self {
            Self::List | Self::Insert(_) => None,
            Self::GetByName(name) => {
                only(listed.iter().filter(|source| source.name.as_deref() == Some(name)).filter(reached))
            }
            Self::Get(_) | Self::Test(_) | Self::Update(_) | Self::Delete(_) => {
                let id = self.about()?;
                only(listed.iter().filter(|source| source.id == id)).filter(reached)
            }
        }
    }

    /// Decides the call. `listed`: what the server has, empty where [`looks_up`](Self::looks_up) is false.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn decide(self, asker: Asker<'_>, listed: &[Integration]) -> Result<Step, Refused> {
        self.admit(asker)?;
        let found = self.source(asker, listed).ok_or(Refused::NotFound);
        let forward = |message: Vec<u8>, expected| Step::Forward(message.into(), expected);
        Ok(match self {
            Self::List => {
                let reached = listed.iter().filter(|source| asker.one(|roles| asker.reaches(roles, source)));
                let integrations: Vec<Integration> = reached.map(answer::plain).collect();
                let dropped = listed.len().saturating_sub(integrations.len());
                Step::Answer(ListIntegrationsResponse { integrations }.encode_to_vec().into(), dropped)
            }
            Self::Get(_) => {
                let integration_with_secrets = IntegrationWithSecrets { integration: Some(answer::plain(found?)) };
                let answer = GetIntegrationResponse { integration_with_secrets: Some(integration_with_secrets) };
                Step::Answer(answer.encode_to_vec().into(), 0)
            }
            Self::GetByName(_) => {
                let answer = IntegrationResponse { integration: Some(answer::plain(found?)) };
                Step::Answer(answer.encode_to_vec().into(), 0)
            }
            Self::Test(test) => {
                let kind = if test.integration_id.is_none() {
                    test.kind
                } else {
                    let found = found?;
                    // Of another kind there is none with this id.
                    if test.kind != 0 && test.kind != found.kind {
                        return Err(Refused::NotFound);
                    }
                    if has_settings(&test) {
                        asker.manages(Some(found), None, listed)?;
                    }
                    found.kind
                };
                forward(test.encode_to_vec(), Expected::Tested { kind })
            }
            Self::Insert(insert) => {
                asker.manages(None, insert.called(), listed)?;
                let name = Some(insert.name.clone());
                let expected = Expected::Changed { id: None, name, kind: insert.integration_kind };
                forward(insert.encode_to_vec(), expected)
            }
            Self::Update(update) => {
                let found = found?;
                let renamed = Some(update.name.clone()).filter(|name| !name.is_empty());
                let called = renamed.as_deref().zip(data_source(found.kind));
                asker.manages(Some(found), called, listed)?;
                let (id, name) = (Some(found.id.clone()), renamed.or(found.name.clone()));
                forward(update.encode_to_vec(), Expected::Changed { id, name, kind: found.kind })
            }
            Self::Delete(delete) => {
                asker.manages(Some(found?), None, listed)?;
                forward(delete.encode_to_vec(), Expected::Deleted)
            }
        })
    }
}

impl InsertIntegrationRequest {
    /// Its name and its kind, which is one of a data source once it was read.
    fn called(&self) -> Option<(&str, &'static Kind)> {
        data_source(self.integration_kind).map(|kind| (self.name.as_str(), kind))
    }
}

impl Asker<'_> {
    /// Whether one of the sets of roles that answer together is enough by itself.
    fn one(&self, enough: impl Fn(&[RoleId]) -> bool) -> bool {
        self.policy.groups(self.roles).iter().any(|roles| enough(roles))
    }

    /// Whether it is a data source of this environment that these roles reach.
    fn reaches(&self, roles: &[RoleId], source: &Integration) -> bool {
        let here = source.environment_id.is_empty() || self.environment == Some(source.environment_id.as_str());
        let Some(kind) = data_source(source.kind).filter(|_| here) else { return false };
        // One without a name is the default of its kind, which the importer calls so, too.
        let name = source.name.as_deref().filter(|name| !name.is_empty()).unwrap_or(kind.code);
        self.policy.reaches_named(roles, name, kind.name)
    }

    /// Whether the caller manages a source, and may have one of this name and kind; what the server has of that name, whatever
    /// its kind, could be overwritten, so that it must be within reach, too.
    fn manages(
        &self,
        source: Option<&Integration>,
        called: Option<(&str, &'static Kind)>,
        listed: &[Integration],
    ) -> Result<(), Refused> {
        let taken = |there: &Integration| called.is_some_and(|(name, _)| there.name.as_deref() == Some(name));
        let may = self.one(|roles| {
            self.policy.manages(roles)
                && source.is_none_or(|source| self.reaches(roles, source))
                && called.is_none_or(|(name, kind)| self.policy.reaches_named(roles, name, kind.name))
                && listed.iter().filter(|there| taken(there)).all(|there| self.reaches(roles, there))
        });
        if may { Ok(()) } else { Err(Refused::Manage) }
    }
}

fn only<T>(mut all: impl Iterator<Item = T>) -> Option<T> {
    let first = all.next()?;
    all.next().is_none().then_some(first)
}

/// Whether a test brings settings of its own, and so connects to wherever they lead.
fn has_settings(test: &TestIntegrationRequest) -> bool {
    test.integration_id.is_none() || !test.environment_variables.is_empty() || !test.config.is_empty()
}

/// A kind of data source.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    number: IntegrationKind,
    /// As policies and catalogues write it: `POSTGRESQL`.
    pub name: &'static str,
    /// As code calls it, and the default source of the kind: `postgres`.
    pub code: &'static str,
}

const fn kind(number: IntegrationKind, name: &'static str, code: &'static str) -> Kind {
    Kind { number, name, code }
}

/// Those of chalkpy's data sources; the clouds and those who serve models are not among them.
static KINDS: [Kind; 15] = [
    kind(IntegrationKind::Athena, "ATHENA", "athena"),
    kind(IntegrationKind::Bigquery, "BIGQUERY", "bigquery"),
    kind(IntegrationKind::Clickhouse, "CLICKHOUSE", "clickhouse"),
    kind(IntegrationKind::Databricks, "DATABRICKS", "databricks"),
    kind(IntegrationKind::Dynamodb, "DYNAMODB", "dynamodb"),
    kind(IntegrationKind::Kafka, "KAFKA", "kafka"),
    kind(IntegrationKind::Kinesis, "KINESIS", "kinesis"),
    kind(IntegrationKind::Mysql, "MYSQL", "mysql"),
    kind(IntegrationKind::Postgresql, "POSTGRESQL", "postgres"),
    kind(IntegrationKind::Pubsub, "PUBSUB", "pubsub"),
    kind(IntegrationKind::Redshift, "REDSHIFT", "redshift"),
    kind(IntegrationKind::Snowflake, "SNOWFLAKE", "snowflake"),
    kind(IntegrationKind::Spanner, "SPANNER", "spanner"),
    kind(IntegrationKind::Trino, "TRINO", "trino"),
    kind(IntegrationKind::Mssql, "MSSQL", "mssql"),
];

/// The kind of a number; `None`: none of a data source.
pub fn data_source(number: i32) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| i32::from(kind.number) == number)
}

#[cfg(test)]
mod tests;
