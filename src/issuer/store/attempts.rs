//! Failed secrets, counted by client and address in a table of a fixed size: strangers choose both, so whatever they send, the
//! memory stays the same. Two that fall on one place count together; what follows from the count that replicas share only meets
//! those who fail. The places of this process, by which an address waits behind others ([`Attempts`]), depend on a random key: a
//! stranger who knew them could fail under a name that falls on the place of somebody else.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest::{Context, SHA256};

/// The length of a window of attempts.
pub const WINDOW_SECONDS: u64 = 60;

const SLOTS: usize = 1 << 16;

/// The place of a client and an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(pub(super) u16);

impl Slot {
    /// The same in every replica.
    pub(super) fn shared(client: &str, address: IpAddr) -> Self {
        Self::of(&[], client.as_bytes(), address)
    }

    fn of(key: &[u8], client: &[u8], address: IpAddr) -> Self {
        // Whoever has one IPv6 address has the 2^64 of its network.
        let bits = match address.to_canonical() {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits() >> 64 << 64,
        };
        let mut context = Context::new(&SHA256);
        context.update(key);
        context.update(&bits.to_be_bytes());
        context.update(client);
        let high = context.finish().as_ref().first_chunk().copied().unwrap_or_default();
        Self(u16::from_be_bytes(high))
    }
}

/// The number of the window; the same in every replica.
pub(super) fn window(now: u64) -> u64 {
    now / WINDOW_SECONDS
}

/// Those of this process.
pub(super) struct Attempts {
    key: [u8; 32],
    /// By client and address.
    by_client: Table,
    /// By address, how many clients it failed for.
    by_address: Table,
}

impl Attempts {
    pub(super) fn new() -> Self {
        let mut key = [0; 32];
        // Without random numbers nothing is issued.
        let _ = aws_lc_rs::rand::fill(&mut key);
        Self { key, by_client: Table::new(), by_address: Table::new() }
    }

    /// One more; gives the count, this one included.
    pub(super) fn failed(&self, client: &str, address: IpAddr, now: u64) -> u32 {
        let count = self.by_client.count(Slot::of(&self.key, client.as_bytes(), address), now);
        if count == 1 {
            self.by_address.count(self.alone(address), now);
        }
        count
    }

    pub(super) fn failures(&self, client: &str, address: IpAddr, now: u64) -> u32 {
        self.by_client.counted(Slot::of(&self.key, client.as_bytes(), address), now)
    }

    pub(super) fn clients_failed(&self, address: IpAddr, now: u64) -> u32 {
        self.by_address.counted(self.alone(address), now)
    }

    fn alone(&self, address: IpAddr) -> Slot {
        Slot::of(&self.key, &[], address)
    }
}

/// Each place holds the number of a window (the upper half) and a count (the lower half).
struct Table(Box<[AtomicU64]>);

impl Table {
    fn new() -> Self {
        Self((0..SLOTS).map(|_| AtomicU64::new(0)).collect())
    }

    fn count(&self, slot: Slot, now: u64) -> u32 {
        let Some(place) = self.0.get(usize::from(slot.0)) else { return 0 };
        let window = window(now) & u64::from(u32::MAX);
        let more = |old: u64| if old >> 32 == window { lower(old).saturating_add(1) } else { 1 };
        let stored =
            place.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| Some(window << 32 | u64::from(more(old))));
        stored.map_or(0, more)
    }

    fn counted(&self, slot: Slot, now: u64) -> u32 {
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
        Slot::shared(client, address.parse().unwrap())
    }

    #[test]
    fn a_window_counts_and_the_next_begins_at_one() {
        let attempts = Table::new();
        let (a, b) = (slot("a", "192.0.2.1"), slot("b", "192.0.2.1"));
        assert_eq!([attempts.count(a, 600), attempts.count(a, 659), attempts.counted(a, 630)], [1, 2, 2]);
        assert_eq!([attempts.counted(b, 630), attempts.counted(a, 660), attempts.count(a, 660)], [0, 0, 1]);
        assert_eq!(attempts.counted(a, 659), 0, "an older window is gone");
    }

    #[test]
    fn a_count_that_is_full_stays() {
        let attempts = Table::new();
        let a = slot("a", "192.0.2.1");
        attempts.0[usize::from(a.0)].store(10 << 32 | u64::from(u32::MAX), Ordering::Relaxed);
        assert_eq!([attempts.count(a, 600), attempts.count(a, 600)], [u32::MAX; 2]);
    }

    #[test]
    fn whoever_fails_for_many_clients_is_known_by_its_address() {
        let (attempts, here) = (Attempts::new(), "192.0.2.1".parse().unwrap());
        for _ in 0..50 {
            attempts.failed("one", here, 600);
        }
        assert_eq!((attempts.failures("one", here, 600), attempts.clients_failed(here, 600)), (50, 1));
        for number in 0..9 {
            attempts.failed(&number.to_string(), here, 600);
        }
        assert_eq!(attempts.clients_failed(here, 659), 10);
        assert_eq!(attempts.clients_failed("192.0.2.2".parse().unwrap(), 600), 0);
        assert_eq!(attempts.clients_failed(here, 660), 0);
    }

    #[test]
    fn nobody_can_reckon_whose_place_a_name_falls_on() {
        let (one, other) = (Attempts::new(), Attempts::new());
        let (victim, stranger) = ("192.0.2.1".parse().unwrap(), "203.0.113.9".parse().unwrap());
        let aimed = |attempts: &Attempts| {
            let of = |name: &str, address| Slot::of(&attempts.key, name.as_bytes(), address);
            (0..2_000_000).map(|n| format!("x{n}")).find(|name| of(name, stranger) == of("svc", victim)).unwrap()
        };
        let name = aimed(&one);
        one.failed(&name, stranger, 600);
        assert_eq!(one.failures("svc", victim, 600), 1, "with the key it can");
        // By chance it hits one time in 65,536; twice in a row never.
        let hits = [&other, &Attempts::new()].map(|attempts| {
            attempts.failed(&name, stranger, 600);
            attempts.failures("svc", victim, 600)
        });
        assert_ne!(hits, [1, 1]);
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
        let attempts = Table::new();
        let a = slot("a", "192.0.2.1");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).map(|_| attempts.count(a, 600)).max());
            }
        });
        assert_eq!(attempts.counted(a, 600), 4000);
    }
}
