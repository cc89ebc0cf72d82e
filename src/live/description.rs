//! The description of a server of the JSON dialect: loaded with the configuration, and reloaded alone.

use std::sync::Arc;

use super::load::{LoadError, lay, texts};
use super::watch::description_source;
use super::{Inner, Live, State, rules};
use crate::config::{Config, ISSUER_PATHS};
use crate::dialect::json::{self, Description, Taken};
use crate::reload::{self, Files, ReadError};
use crate::snapshot::{Part, Settings};

/// The description that a configuration names; `None` with another dialect.
///
/// # Errors
/// A file that cannot be read, or any mistake in it: a route of it that the configuration has already is one.
pub fn read_description(config: &Config) -> Result<Option<Description>, LoadError> {
    let Some(source) = description_source(config) else { return Ok(None) };
    parse(config, &reload::read(&source)?).map(Some)
}

fn parse(config: &Config, files: &Files) -> Result<Description, LoadError> {
    let texts = texts(files)?;
    let Some(file) = texts.first() else { return Err(ReadError::NoPath.into()) };
    let issuer = ISSUER_PATHS.iter().filter(|_| config.issuer.is_some());
    let issuer = issuer.map(|path| Taken { path, by: "the built-in issuer" });
    let routes = config.routes.iter().map(|route| Taken { path: &route.path, by: "`routes` of the configuration" });
    let (description, report) = json::load_beside(file, &issuer.chain(routes).collect::<Vec<_>>());
    description.ok_or(LoadError::Report(report))
}

/// The description, and how it stands.
pub(super) fn described(config: &Config) -> Result<(Option<Arc<Description>>, State), LoadError> {
    let Some(source) = description_source(config) else { return Ok((None, State::default())) };
    let files = reload::read(&source)?;
    let description = parse(config, &files)?;
    Ok((Some(Arc::new(description)), State { stale: None, digest: files.digest.to_string() }))
}

impl Live {
    pub(super) fn description_changed(self: &Arc<Self>, files: Result<Files, ReadError>) {
        let mut guard = self.lock();
        let inner = &mut *guard;
        match files.map_err(LoadError::from).and_then(|files| self.redescribe(inner, &files)) {
            Ok(()) => {}
            Err(error) => {
                inner.states.description.stale = Some(error.to_string());
                self.failed("description", &error);
            }
        }
        self.retry_config(inner);
        self.show(inner);
    }

    fn redescribe(&self, inner: &mut Inner, files: &Files) -> Result<(), LoadError> {
        let description = parse(&inner.config, files)?;
        let settings: Settings = self.settings_anew(&inner.config, Some(Arc::new(description)))?;
        // What was decided of a route of this number was of another: the policy is as it was, with empty caches.
        let (policy, below) = &inner.good;
        let policy_again = lay(&inner.config, policy, below)?.policy;
        let rules = rules(Part::Live, &inner.config, policy_again, (policy, below), &self.proxy.metrics);
        let shadow = self.shadow_over(inner);
        inner.states.description = State { stale: None, digest: files.digest.to_string() };
        self.publish(shadow, Arc::new(rules), Arc::new(settings), "description");
        Ok(())
    }
}
