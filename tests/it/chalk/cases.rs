//! Cases that hold at every door alike.

use super::ask::{Ask, Door};
use super::decode::{Fine, Got};
use super::went::went;
use super::world::{Chalk, RESTRICTED};
use crate::support::sidecar::Sidecar;

/// What becomes of a query.
#[derive(Clone, Copy, Debug)]
pub enum Want<'w> {
    /// An error for each of these names; nothing goes upstream.
    Refused(&'w [&'w str]),
    /// It cannot be checked, in these words; nothing goes upstream.
    Invalid(&'w str),
    /// These outputs go upstream, sorted, expressions behind them; these fields come back.
    Sent(&'w [&'w str], &'w [&'w str]),
}

/// A sidecar and what is behind it.
pub struct Both {
    pub chalk: Chalk,
    pub sidecar: Sidecar,
}

/// What passes of the error that comes with every answer.
pub fn stripped() -> Vec<(String, Option<String>)> {
    vec![("RESOLVER_FAILED".to_owned(), None)]
}

pub fn refused(names: &[&str]) -> Fine {
    let errors = names.iter().map(|name| ("UNAUTHORIZED".to_owned(), Some((*name).to_owned())));
    Fine { errors: errors.collect(), ..Fine::default() }
}

impl Both {
    pub async fn start() -> Self {
        let chalk = Chalk::start().await;
        let sidecar = chalk.sidecar().await;
        Self { chalk, sidecar }
    }

    /// Checks what becomes of a query by a caller of this group, at every door.
    pub async fn case(&self, group: &str, ask: Ask, want: Want<'_>) {
        self.case_at(&Door::ALL, group, ask, want).await;
    }

    /// The same at these doors.
    pub async fn case_at(&self, doors: &[Door], group: &str, ask: Ask, want: Want<'_>) {
        for door in doors {
            let got = door.ask(&self.sidecar, group, &ask).await;
            self.check(*door, &got, want, &format!("{door:?} {group}: {ask:?}\n{}", got.text()));
        }
    }

    /// Checks both ends of what was asked last.
    pub fn check(&self, door: Door, got: &Got, want: Want<'_>, shown: &str) {
        got.shows_nothing();
        let came = self.chalk.take();
        match want {
            Want::Refused(names) => {
                assert!(came.is_empty(), "{shown}\n{came:?}");
                assert_eq!(got.end, Ok(vec![refused(names)]), "{shown}");
                assert_eq!(got.answer.status, 200, "{shown}");
            }
            Want::Invalid(text) => {
                assert!(came.is_empty(), "{shown}\n{came:?}");
                assert_eq!(got.end, Err(("INVALID_QUERY".to_owned(), text.to_owned())), "{shown}");
                assert_eq!(got.answer.status, if door.is_grpc() { 200 } else { 400 }, "{shown}");
            }
            Want::Sent(outputs, fields) => {
                let [came] = came.as_slice() else { panic!("{shown}\n{came:?}") };
                assert_eq!(came.path(), door.path());
                let went = went(came);
                let [went] = went.as_slice() else { panic!("{shown}\n{went:?}") };
                let mut features = went.outputs.clone();
                features.sort();
                let named = |(namespace, name): &(String, String)| match namespace.as_str() {
                    "" => format!("={name}"),
                    namespace => format!("={namespace}.{name}"),
                };
                features.extend(went.expressions.iter().map(named));
                assert_eq!(features, outputs, "{shown}");
                for part in RESTRICTED {
                    assert!(!went.text.contains(part), "`{part}` came upstream: {shown}\n{went:?}");
                }
                let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
                // The key that was supplied comes with every answer.
                assert_eq!(got.end, Ok(vec![Fine { fields, key: true, errors: stripped() }]), "{shown}");
            }
        }
    }
}
