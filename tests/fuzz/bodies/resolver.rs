//! Policies and queries that 32 bytes choose: the library decides as the oracle does. Each byte changes all of the choice, so that
//! the fuzzer is a source of many policies here and no more.

use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::policy_properties::agrees;
use crate::random_policy::{query, world};

/// One run.
pub fn run(data: &[u8]) {
    let mut seed = [0; 32];
    seed.iter_mut().zip(data).for_each(|(to, from)| *to = *from);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let (Ok(world), Ok(query)) = (world().new_tree(&mut runner), query().new_tree(&mut runner)) else { return };
    agrees(&world.current(), &query.current());
}
