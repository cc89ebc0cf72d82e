//! Requests after data sources, read strictly.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Call, Method, data_source};
use crate::dialect::chalk::proto::{
    DeleteIntegrationRequest, GetIntegrationByNameRequest, GetIntegrationRequest, InsertIntegrationRequest,
    IntegrationConfigValue, ListIntegrationsRequest, TestIntegrationRequest, UpdateIntegrationRequest,
};
use crate::dialect::strict;
use crate::dialect::{Invalid, shown};

/// Reads a message of a method. What is not looked at further (settings, which can be secrets) is the caller's own.
///
/// # Errors
/// What is in the way: as in [`strict`]; a name of other than letters, digits and underscores, a kind that is no data source,
/// no id, a setting without a value.
pub fn read(method: Method, message: &Bytes) -> Result<Call, Invalid> {
    Ok(match method {
        Method::List => {
            let ListIntegrationsRequest {} = strict::decode(message)?;
            Call::List
        }
        Method::Get => {
            let GetIntegrationRequest { integration_id } = strict::decode(message)?;
            Call::Get(id(integration_id)?)
        }
        Method::GetByName => {
            let GetIntegrationByNameRequest { integration_name } = strict::decode(message)?;
            name(&integration_name)?;
            Call::GetByName(integration_name)
        }
        Method::Test => {
            let mut test: TestIntegrationRequest = strict::decode(message)?;
            settings(&test.config)?;
            // A preview is data of the source, and none comes back.
            test.include_preview = None;
            test.integration_id = test.integration_id.filter(|id| !id.is_empty());
            if test.integration_id.is_none() || test.kind != 0 {
                kind(test.kind)?;
            }
            Call::Test(test)
        }
        Method::Insert => {
            let insert: InsertIntegrationRequest = strict::decode(message)?;
            name(&insert.name)?;
            kind(insert.integration_kind)?;
            settings(&insert.config)?;
            Call::Insert(insert)
        }
        Method::Update => {
            let mut update: UpdateIntegrationRequest = strict::decode(message)?;
            update.integration_id = id(update.integration_id)?;
            if !update.name.is_empty() {
                name(&update.name)?;
            }
            settings(&update.config)?;
            Call::Update(update)
        }
        Method::Delete => {
            let DeleteIntegrationRequest { id } = strict::decode(message)?;
            Call::Delete(DeleteIntegrationRequest { id: self::id(id)? })
        }
    })
}

fn id(id: String) -> Result<String, Invalid> {
    if id.is_empty() { Err(Invalid("the id of a data source is missing".to_owned())) } else { Ok(id) }
}

/// As chalkpy has it: "must only contain letters, numbers, and underscores".
fn name(name: &str) -> Result<(), Invalid> {
    match name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        true if name.is_empty() => Err(Invalid("the name of a data source is missing".to_owned())),
        true => Ok(()),
        false => {
            let name = shown(name);
            Err(Invalid(format!("the name `{name}` has more in it than letters, digits and underscores")))
        }
    }
}

fn kind(number: i32) -> Result<(), Invalid> {
    match data_source(number) {
        Some(_) => Ok(()),
        None => Err(Invalid(format!("the kind {number} is none of a data source"))),
    }
}

/// A literal, or a reference to a secret.
fn settings(config: &BTreeMap<String, IntegrationConfigValue>) -> Result<(), Invalid> {
    match config.iter().find(|(_, value)| value.value.is_none()) {
        None => Ok(()),
        Some((key, _)) => Err(Invalid(format!("the setting `{}` has no value", shown(key)))),
    }
}
