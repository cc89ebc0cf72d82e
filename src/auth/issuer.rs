//! One issuer of the configuration: its rules, and where its keys come from.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, AlgorithmFamily};

use super::keys::pace::Pace;
use super::keys::provider::{Location, Metadata, Provider};
use super::keys::sha256;
use super::keys::source::{Local, Origin, Source};
use super::verify::{Known, Life, Rules};
use super::{Audiences, AuthError, IssuerSettings, KeySource, PeerCertificate, Refusal, invalid, proven};
use crate::fetch::{Client, Url};
use crate::hex::hex;

/// An issuer.
pub(super) struct Issuer {
    pub(super) name: String,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) leeway: Duration,
    pub(super) rules: Rules,
    pub(super) keys: KeyPart,
    pub(super) source: Arc<Source>,
}

/// All that the keys of an issuer depend on.
#[derive(PartialEq, Eq)]
pub(super) struct KeyPart {
    name: String,
    algorithms: Vec<Algorithm>,
    from: KeySource,
    stale_if_error: Duration,
    folder: Option<PathBuf>,
}

impl KeyPart {
    pub(super) fn of(settings: &IssuerSettings) -> Self {
        Self {
            name: settings.issuer.clone(),
            algorithms: settings.algorithms.clone(),
            from: settings.keys.clone(),
            stale_if_error: settings.stale_if_error,
            folder: settings.keys_folder.clone(),
        }
    }
}

impl Issuer {
    pub(super) fn new(settings: IssuerSettings, client: &Arc<Client>, pace: &Pace) -> Result<Self, AuthError> {
        let keys = KeyPart::of(&settings);
        let issuer = settings.issuer;
        if settings.algorithms.is_empty() {
            return Err(AuthError::NoAlgorithm { issuer });
        }
        let secret = matches!(settings.keys, KeySource::SecretFile(_));
        let hmac = |algorithm: &Algorithm| algorithm.family() == AlgorithmFamily::Hmac;
        let mut algorithms = settings.algorithms.iter();
        if let Some(&algorithm) = algorithms.find(|algorithm| hmac(algorithm) != secret) {
            return Err(match secret {
                true => AuthError::NeedsPublicKey { issuer, algorithm },
                false => AuthError::NeedsSecret { issuer, algorithm },
            });
        }
        let audiences = match settings.audiences {
            Audiences::OneOf(list) if list.is_empty() => {
                return Err(AuthError::NoAudience { issuer });
            }
            Audiences::OneOf(list) => Some(list),
            Audiences::Unchecked => {
                tracing::warn!(issuer, "tokens for any audience are accepted");
                None
            }
        };
        let url = |reason| AuthError::Url { issuer: issuer.clone(), reason };
        let provided = |location: Location| {
            let first = location.url();
            if !first.is_https() && !first.is_loopback() {
                tracing::warn!(issuer, "keys are fetched without tls: whoever is on the way can sign tokens");
            }
            let name = hex(&sha256(&[issuer.as_bytes()]));
            let kept = settings.keys_folder.as_ref().map(|folder| folder.join(format!("{name}.json")));
            Origin::Provider(Box::new(Provider {
                location,
                client: Arc::clone(client),
                stale_if_error: settings.stale_if_error,
                kept,
            }))
        };
        let origin = match settings.keys {
            KeySource::Discovery => provided(Location::Metadata(Metadata::of(&issuer).map_err(url)?)),
            KeySource::JwksUrl(text) => provided(Location::Set(Url::parse(&text).map_err(url)?)),
            KeySource::JwksFile(path) => Origin::Local(Local::JwksFile(path)),
            KeySource::PemFile(path) => Origin::Local(Local::PemFile(path)),
            KeySource::SecretFile(path) => Origin::Local(Local::SecretFile(path)),
            KeySource::Static(text) => Origin::Local(Local::Text(text)),
        };
        let algorithms = settings.algorithms;
        let source = Source::new(issuer.clone(), algorithms.clone(), origin, pace.clone());
        Ok(Issuer {
            name: issuer,
            algorithms,
            leeway: settings.leeway,
            keys,
            rules: Rules { audiences, require: settings.require, require_typ: settings.require_typ },
            source: Arc::new(source),
        })
    }

    /// Reads the keys again, where they are here.
    pub(super) fn reload(&self) -> Result<bool, AuthError> {
        self.source.reload().map_err(|reason| {
            let issuer = self.name.clone();
            match self.source.file() {
                Some(path) => AuthError::File { issuer, path: path.to_owned(), reason },
                None => AuthError::Text { issuer, reason },
            }
        })
    }

    /// The last step, cached or not.
    pub(super) fn accept(&self, known: &Known, now: Duration, peer: Option<&PeerCertificate>) -> Result<(), Refusal> {
        proven(known, now, peer)?;
        match known.life(now, self.leeway) {
            Life::Valid => Ok(()),
            Life::Expired => Err(Refusal::Expired),
            Life::NotYet => Err(invalid("not valid yet")),
        }
    }
}
