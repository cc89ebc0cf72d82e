//! Failed secrets, counted by client and address in a table of a fixed size: strangers choose both, so whatever they send, the
//! memory stays the same. Two that fall on one place count together; what follows from a count only meets those who fail.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest::{Context, SHA256};

/// The length of a window of attempts.
pub const WINDOW_SECONDS: u64 = 60;

const SLOTS: usize = 1 << 16;

/// The place of a client and an address; the same in every replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(pub(super) u16);

impl Slot {
    pub(super) fn of(client: &str, address: IpAddr) -> Self {
        // Whoever has one IPv6 address has the 2^64 of its network.
        let bits = match address.to_canonical() {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits() >> 64 << 64,
        };
        let mut context = Context::new(&SHA256);
        context.update(&bits.to_be_bytes());
        context.update(client.as_bytes());
        let high = context.finish().as_ref().first_chunk().copied().unwrap_or_default();
        Self(u16::from_be_bytes(high))
    }
}

/// The number of the window; the same in every replica.
pub(super) fn window(now: u64) -> u64 {
    now / WINDOW_SECONDS
}

/// Each place holds the number of a window (the upper half) and a count (the lower half).
pub(super) struct Attempts(Box<[AtomicU64]>);

impl Attempts {
    pub(super) fn new() -> Self {
        Self((0..SLOTS).map(|_| AtomicU64::new(0)).collect())
    }

    /// One more; gives the count, this one included.
    pub(super) fn count(&self, slot: Slot, now: u64) -> u32 {
        let Some(place) = self.0.get(usize::from(slot.0)) else { return 0 };
        let window = window(now) & u64::from(u32::MAX);
        let more = |old: u64| if old >> 32 == window { lower(old).saturating_add(1) } else { 1 };
        let stored =
            place.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| Some(window << 32 | u64::from(more(old))));
        stored.map_or(0, more)
    }

    /// The count.
    pub(super) fn counted(&self, slot: Slot, now: u64) -> u32 {
        let window = window(now) & u64::from(u32::MAX);
        let place = self.0.get(usize::from(slot.0)).map_or(0, |place| place.load(Ordering::Relaxed));
        if place >> 32 == window { lower(place) } else { 0 }
    }
}

fn lower(place: u64) -> u32 {
    u32::try_from(place & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(client: &str, address: &str) -> Slot {
        Slot::of(client, address.parse().unwrap())
    }

    #[test]
    fn a_window_counts_and_the_next_begins_at_one() {
        let attempts = Attempts::new();
        let (a, b) = (slot("a", "192.0.2.1"), slot("b", "192.0.2.1"));
        assert_eq!([attempts.count(a, 600), attempts.count(a, 659), attempts.counted(a, 630)], [1, 2, 2]);
        assert_eq!([attempts.counted(b, 630), attempts.counted(a, 660), attempts.count(a, 660)], [0, 0, 1]);
        assert_eq!(attempts.counted(a, 659), 0, "an older window is gone");
    }

    #[test]
    fn a_count_that_is_full_stays() {
        let attempts = Attempts::new();
        let a = slot("a", "192.0.2.1");
        attempts.0[usize::from(a.0)].store(10 << 32 | u64::from(u32::MAX), Ordering::Relaxed);
        assert_eq!([attempts.count(a, 600), attempts.count(a, 600)], [u32::MAX; 2]);
    }

    #[test]
    fn an_ipv6_network_is_one_and_a_mapped_address_is_the_ipv4_one() {
        assert_eq!(slot("a", "2001:db8:1:2::1"), slot("a", "2001:db8:1:2:ffff::9"));
        assert_ne!(slot("a", "2001:db8:1:2::1"), slot("a", "2001:db8:1:3::1"));
        assert_eq!(slot("a", "::ffff:192.0.2.1"), slot("a", "192.0.2.1"));
        assert_ne!(slot("a", "192.0.2.2"), slot("a", "192.0.2.1"));
        assert_ne!(slot("b", "192.0.2.1"), slot("a", "192.0.2.1"));
    }

    #[test]
    fn counts_of_many_threads_are_all_there() {
        let attempts = Attempts::new();
        let a = slot("a", "192.0.2.1");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).map(|_| attempts.count(a, 600)).max());
            }
        });
        assert_eq!(attempts.counted(a, 600), 4000);
    }
}
