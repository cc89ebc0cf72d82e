//! Who sent a request, and what its roles may.

use std::sync::Arc;
use std::time::SystemTime;

use hyper::header::HeaderMap;
use serde_json::Value;

use super::Exchange;
use super::respond::Failure;
use crate::auth::{self, Caller, Credential, Refusal, Verified};
use crate::config::Enforcement;
use crate::snapshot::{CallerTables, Snapshot};

/// Who sent a query.
pub struct Asked {
    /// Its token's, or its certificate's.
    pub caller: Caller,
    /// What its roles may.
    pub tables: Arc<CallerTables>,
}

impl Exchange<'_> {
    /// Who sent the request. Nothing of the body is read before.
    pub(super) async fn authenticate<'h>(
        &mut self,
        snapshot: &Snapshot,
        headers: &'h HeaderMap,
    ) -> Result<Verified<'h>, Failure> {
        let settings = &snapshot.settings;
        let counts = &self.proxy.metrics.tokens;
        let (now, most, peer) = (SystemTime::now(), settings.limits.token_bytes, self.peer.certificate);
        let verified = match auth::credential(headers) {
            Ok(Credential::Bearer(token)) => {
                let verify = || settings.auth.authenticate_within(token, most, now, peer);
                let verified = match &self.trace {
                    None => verify().await,
                    // In a box, as is all that is rarely needed.
                    Some(trace) => Box::pin(trace.verified(now, Box::pin(verify()))).await,
                };
                verified.map(|who| (&counts.valid, who))
            }
            Ok(Credential::ApiKey(key)) => settings.auth.by_api_key(key, now).map(|who| (&counts.api_key, who)),
            Err(Refusal::Missing) => {
                let who = peer.and_then(|peer| peer.caller(headers, now));
                who.map(|who| (&counts.certificate, who)).ok_or(Refusal::Missing)
            }
            Err(refusal) => Err(refusal),
        };
        let (count, verified) = verified.map_err(|refusal| match refusal {
            Refusal::Missing => {
                counts.missing.inc();
                Failure::Unauthorized { sent: false }
            }
            Refusal::Invalid { reason } => {
                counts.invalid.inc();
                tracing::debug!(
                    decision_id = self.decision_id.as_str(),
                    trace_id = self.trace_id(),
                    reason,
                    "a token is refused"
                );
                Failure::Unauthorized { sent: true }
            }
            Refusal::Expired => {
                counts.expired.inc();
                Failure::TokenExpired
            }
            Refusal::KeysUnavailable { retry_after } => {
                counts.keys_unavailable.inc();
                Failure::KeysUnavailable { retry_after }
            }
        })?;
        count.inc();
        self.verified = true;
        Ok(verified)
    }

    /// Who sent the request, and what its roles may.
    pub(super) async fn asked(&mut self, snapshot: &Snapshot, headers: &HeaderMap) -> Result<Asked, Failure> {
        let verified = self.authenticate(snapshot, headers).await?;
        self.heard(snapshot, &verified)
    }

    /// The caller, and what its roles may.
    ///
    /// # Errors
    /// `Forbidden`: it has no role, while enforcement is on.
    pub(super) fn heard(&self, snapshot: &Snapshot, verified: &Verified<'_>) -> Result<Asked, Failure> {
        let caller = snapshot.caller(verified);
        match (snapshot.tables_of(&caller), snapshot.settings.enforcement) {
            (Some(tables), _) => Ok(Asked { caller, tables }),
            (None, Enforcement::Audit) => Ok(Asked { caller, tables: snapshot.rules.nobody() }),
            (None, Enforcement::Enforce) => {
                self.shadow(snapshot, &caller, None);
                Err(self.forbidden(&caller, "no binding of the policy gives it a role"))
            }
        }
    }

    /// Whether one of the caller's roles is among those that a route is for; `None`: it is for all.
    pub(super) fn is_for(&self, snapshot: &Snapshot, asked: &Asked, roles: Option<&[String]>) -> Result<(), Failure> {
        let policy = &snapshot.rules.policy;
        let holds = |name: &String| asked.tables.roles.iter().any(|role| policy.role_name(*role) == name);
        if roles.is_none_or(|roles| roles.iter().any(holds)) {
            Ok(())
        } else {
            Err(self.forbidden(&asked.caller, "the route is for other roles"))
        }
    }

    /// Tells the log who is turned away, as an audit line would: there is none, for nothing is decided.
    fn forbidden(&self, caller: &Caller, why: &'static str) -> Failure {
        let who = |member: &str| {
            let said: Value =
                serde_json::from_str(&format!("{{{}}}", caller.memo().audit.trim_end_matches(','))).ok()?;
            said.get(member)?.as_str().map(str::to_owned)
        };
        tracing::debug!(
            decision_id = self.decision_id.as_str(),
            trace_id = self.trace_id(),
            caller = who("caller"),
            issuer = who("issuer"),
            why,
            "a caller is turned away"
        );
        Failure::Forbidden
    }
}
