//! The built-in issuer's part of what loads and reloads: its clients, its signing keys.

use std::sync::Arc;

use super::load::texts;
use super::{Inner, Live, LoadError};
use crate::auth::Auth;
use crate::config::{BuiltInIssuer, Config};
use crate::issuer::Issuer;
use crate::issuer::clients::{self, Clients};
use crate::issuer::keys::SigningKeys;
use crate::reload::{self, Files, ReadError, Source};

/// The clients of a configured issuer.
///
/// # Errors
/// A file that cannot be read, or any mistake in it.
pub fn read_clients(settings: &BuiltInIssuer) -> Result<Clients, LoadError> {
    if !settings.clients.exists() {
        return Err(LoadError::NoClients(settings.clients.clone()));
    }
    parse(&reload::read(&Source::yaml([&settings.clients]))?)
}

fn parse(files: &Files) -> Result<Clients, LoadError> {
    let texts = texts(files)?;
    let Some(file) = texts.first() else { return Err(ReadError::NoPath.into()) };
    let (clients, report) = clients::read(file);
    clients.ok_or(LoadError::Report(report))
}

/// The issuer of a configuration, with its clients still to be given.
pub(super) async fn open(
    config: &Config,
    before: Option<&Issuer>,
) -> Result<(Option<Arc<Issuer>>, Option<Clients>), LoadError> {
    let Some(settings) = &config.issuer else { return Ok((None, None)) };
    let clients = read_clients(settings)?;
    let issuer = Issuer::open(settings.clone(), before).await?;
    Ok((Some(issuer), Some(clients)))
}

/// Reads the signing keys again: whoever verifies has them before the first token is signed with them.
pub(super) fn renew_keys(auth: &Auth, issuer: &Issuer) -> Result<bool, LoadError> {
    let keys = SigningKeys::read(&issuer.settings().keys)?;
    let changed = auth.use_own_keys(&keys.jwks)?;
    issuer.use_keys(keys);
    Ok(changed)
}

impl Live {
    pub(super) fn clients_changed(self: &Arc<Self>, files: Result<Files, ReadError>) {
        let mut inner = self.lock();
        let settings = Arc::clone(&self.proxy.snapshot.load().settings);
        if let Some(issuer) = &settings.issuer {
            match files.map_err(LoadError::from).and_then(|files| parse(&files)) {
                Ok(clients) => {
                    let _runtime = self.runtime.enter();
                    issuer.use_clients(clients);
                    inner.states.clients.stale = None;
                    self.proxy.metrics.reloads.with_label_values(&["clients", "ok"]).inc();
                    tracing::info!("clients reloaded");
                }
                Err(error) => {
                    inner.states.clients.stale = Some(error.to_string());
                    self.failed("clients", &error);
                }
            }
        }
        self.retry_config(&mut inner);
        self.show(&inner);
    }

    pub(super) fn own_keys_changed(&self, inner: &mut Inner) {
        let settings = Arc::clone(&self.proxy.snapshot.load().settings);
        let Some(issuer) = &settings.issuer else { return };
        match renew_keys(&settings.auth, issuer) {
            Ok(false) => {}
            Ok(true) => {
                self.proxy.metrics.reloads.with_label_values(&["keys", "ok"]).inc();
                tracing::info!("signing keys reloaded");
            }
            Err(error) => {
                inner.states.keys.stale = Some(error.to_string());
                self.failed("keys", &error);
            }
        }
    }
}
