//! Tokens and API keys of the built-in issuer: what is asked of them beside what is asked of anybody's tokens.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::verify::{Claims, Reason};
use super::{Refusal, Verified, invalid};
use crate::issuer::clients::Clients;
use crate::issuer::{Issued, Issuer, Standing};

/// A token that was good.
pub(super) const ENDED: Reason = "revoked, or its client is not there any more";
/// For Retry-After while the store is silent.
const SOON: Duration = Duration::from_secs(1);

/// The issuer, and its place among the issuers.
pub(super) struct Own {
    pub(super) issuer: Arc<Issuer>,
    pub(super) place: usize,
    /// The callers of its clients' API keys, of one generation of clients: so each keeps its memo of roles.
    callers: ArcSwapOption<Callers>,
}

struct Callers {
    of: Arc<Clients>,
    by_client: HashMap<String, Arc<Claims>>,
}

impl Own {
    pub(super) fn new(issuer: Arc<Issuer>, place: usize) -> Self {
        Self { issuer, place, callers: ArcSwapOption::empty() }
    }

    /// Whether a token that verified still counts.
    pub(super) fn stands(&self, issued: &Issued) -> Result<(), Refusal> {
        match self.issuer.standing(issued) {
            Standing::Good => Ok(()),
            Standing::Ended => Err(invalid(ENDED)),
            Standing::Unknown => Err(Refusal::KeysUnavailable { retry_after: SOON }),
        }
    }

    /// The caller of an API key at `now`, since 1970.
    pub(super) fn caller(&self, key: &str, now: Duration) -> Result<Verified<'static>, Refusal> {
        let clients = self.issuer.clients();
        let client = clients.by_api_key(key, now.as_secs()).ok_or(invalid("api key not known"))?;
        let callers = self.callers(&clients);
        callers
            .by_client
            .get(&client.id)
            .map(|claims| Verified::of(Arc::clone(claims)))
            .ok_or(invalid("api key not usable"))
    }

    fn callers(&self, clients: &Arc<Clients>) -> Arc<Callers> {
        if let Some(callers) = self.callers.load_full().filter(|callers| Arc::ptr_eq(&callers.of, clients)) {
            return callers;
        }
        let claims = clients.iter().filter_map(|client| {
            let claims = Claims::of_token(self.issuer.claims_of(client), Duration::MAX, None).ok()?;
            Some((client.id.clone(), Arc::new(claims)))
        });
        let callers = Arc::new(Callers { of: Arc::clone(clients), by_client: claims.collect() });
        self.callers.store(Some(Arc::clone(&callers)));
        callers
    }
}
