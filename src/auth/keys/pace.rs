//! How often a provider of keys is asked. Pure but for the clock that it carries.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::header::{CACHE_CONTROL, HeaderMap};
use tokio::sync::Semaphore;

#[cfg(test)]
mod tests;

/// Tells what time it is, for ages and pauses; tests have their own.
pub(in crate::auth) type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// The pace of reading a provider. The defaults are those of the product; tests change them.
#[derive(Clone)]
pub(in crate::auth) struct Pace {
    pub(in crate::auth) clock: Clock,
    /// For one exchange, from the name lookup to the last byte.
    pub(in crate::auth) deadline: Duration,
    /// Places for requests that wait for an exchange because of their token, over all issuers. Tokens that name no key of ours cost
    /// nothing to make, and while a provider hangs each of them would hold a place of `limits.inflight` for as long as the deadline.
    pub(in crate::auth) waiting: Arc<Semaphore>,
    /// Between two exchanges that tokens asked for.
    pub(in crate::auth) floor: Duration,
    /// How long a key name counts as unknown once a fresh set did not have it.
    pub(in crate::auth) unknown: Duration,
    /// After the first failure; doubled by each further one, up to the next.
    pub(in crate::auth) retry: Duration,
    pub(in crate::auth) retry_most: Duration,
}

/// A quarter of the default of `limits.inflight`.
pub(in crate::auth) const MOST_WAITING: usize = 1024;

impl Default for Pace {
    fn default() -> Self {
        Pace {
            clock: Arc::new(Instant::now),
            deadline: Duration::from_secs(5),
            waiting: Arc::new(Semaphore::new(MOST_WAITING)),
            floor: Duration::from_secs(10),
            unknown: Duration::from_secs(60),
            retry: Duration::from_secs(1),
            retry_most: Duration::from_secs(60),
        }
    }
}

/// How long a set is taken to be fresh: `max-age` of RFC 9111, 5.2.2.1, between 1 minute and 1 hour; 5 minutes without it.
pub(super) fn freshness(headers: &HeaderMap) -> Duration {
    headers
        .get_all(CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|directive| directive.trim().split_once('='))
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("max-age"))
        .find_map(|(_, seconds)| seconds.trim().trim_matches('"').parse().ok())
        .map_or(Duration::from_secs(300), |seconds: u64| Duration::from_secs(seconds.clamp(60, 3600)))
}

/// The pause after a set that is fresh for so long: a little shorter, and not the same for all replicas.
pub(super) fn after_success(fresh: Duration, random: u8) -> Duration {
    share(fresh, 80, 95, random)
}

/// The pause after so many failures on end, 1 for the first.
pub(super) fn after_failure(pace: &Pace, failures: u32, random: u8) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let most = pace.retry.saturating_mul(1 << doublings);
    share(most.min(pace.retry_most), 50, 100, random)
}

/// A part of `whole`, from `least` to `most` percent, by `random` (0 the least, 255 the most).
fn share(whole: Duration, least: u32, most: u32, random: u8) -> Duration {
    let percent = least + (most - least) * u32::from(random) / 255;
    whole / 100 * percent
}
