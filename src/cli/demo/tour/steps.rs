//! What the tour asks, what must come back, and why.

use serde_json::{Map, Value, json};

use crate::cli::demo::issuer::{Caller, FRAUD, MARKETING};

/// What a query names.
#[derive(Clone, Copy)]
pub enum Wanted {
    /// References.
    Features(&'static [&'static str]),
    /// A feature service.
    Service(&'static str),
}

/// A query: for whom, for what, about which customers, with which baskets.
#[derive(Clone, Copy)]
pub struct Query {
    /// `None`: without a token.
    pub caller: Option<&'static Caller>,
    /// What is asked for.
    pub wanted: Wanted,
    /// Values of `customer_id`.
    pub customers: &'static [i64],
    /// Values of `basket_total`, one a customer; empty: not given.
    pub baskets: &'static [f64],
}

impl Query {
    /// The body, as Feast reads it.
    pub fn body(&self) -> String {
        let mut entities = Map::new();
        entities.insert("customer_id".to_owned(), json!(self.customers));
        if !self.baskets.is_empty() {
            entities.insert("basket_total".to_owned(), json!(self.baskets));
        }
        let entities = Value::Object(entities);
        match self.wanted {
            Wanted::Features(features) => format!(r#"{{"features":{},"entities":{entities}}}"#, json!(features)),
            Wanted::Service(service) => format!(r#"{{"feature_service":{},"entities":{entities}}}"#, json!(service)),
        }
    }
}

/// What must come back for the tour's words to be true.
pub enum Expected {
    /// These columns behind the join key, and so many taken out.
    Columns(&'static [&'static str], usize),
    /// 403 FEATURES_REFUSED with these names.
    Refused(&'static [&'static str]),
    /// 401 UNAUTHORIZED.
    Unauthorized,
}

/// A query of the tour, and what is said of it.
pub struct Step {
    /// Who does what.
    pub title: &'static str,
    /// What is sent.
    pub query: Query,
    /// What must come back.
    pub expected: Expected,
    /// Why, in one line.
    pub because: &'static str,
}

/// Two baskets to be scored.
pub const SCORE: Query = Query {
    caller: Some(&FRAUD),
    wanted: Wanted::Features(&["checkout_risk:score", "activity:avg_amount"]),
    customers: &[1001, 1004],
    baskets: &[80.0, 950.0],
};

/// A query with an e-mail address in it.
pub const ADDRESSES: Query = Query {
    caller: Some(&MARKETING),
    wanted: Wanted::Features(&["customer:country", "customer:email", "activity:avg_amount"]),
    customers: &[1001, 1003],
    baskets: &[],
};

/// The tour, but for its last step.
pub const TOUR: &[Step] = &[
    Step {
        title: "fraud-svc scores two baskets",
        query: SCORE,
        expected: Expected::Columns(&["score", "avg_amount"], 0),
        because: "income and amount_7d are AllowInternal for it: they go into the score, and never out",
    },
    Step {
        title: "fraud-svc asks for the income as well",
        query: Query { wanted: Wanted::Features(&["checkout_risk:score", "customer:income"]), ..SCORE },
        expected: Expected::Refused(&["customer:income"]),
        because: "it may use the income, not have it; in mode reject that refuses the whole query",
    },
    Step {
        title: "marketing asks for an address among other things",
        query: ADDRESSES,
        expected: Expected::Columns(&["country", "avg_amount"], 1),
        because: "an address is AllowInternal for it; in mode filter it is taken out, the rest is given",
    },
    Step {
        title: "marketing asks for the domain of that address",
        query: Query { wanted: Wanted::Features(&["contact:email_domain"]), ..ADDRESSES },
        expected: Expected::Columns(&["email_domain"], 0),
        because: "it is computed from the address, and somebody reviewed it: its tag `cleared` lets it out",
    },
    Step {
        title: "marketing asks for the score",
        query: Query { caller: Some(&MARKETING), wanted: Wanted::Features(&["checkout_risk:score"]), ..SCORE },
        expected: Expected::Refused(&["checkout_risk:score"]),
        because: "income is Deny for it, and so is whatever is computed from income",
    },
    Step {
        title: "marketing asks for a draft",
        query: Query { wanted: Wanted::Features(&["loyalty:band"]), ..ADDRESSES },
        expected: Expected::Columns(&["band"], 0),
        because: "drafts are Deny for it; but all inputs of this one are AllowDownstream: that clears it",
    },
    Step {
        title: "marketing asks for a feature service",
        query: Query { wanted: Wanted::Service("checkout"), ..ADDRESSES },
        expected: Expected::Columns(&["country", "segment", "avg_amount"], 1),
        because: "the service has a fourth feature, the score: each is decided like one asked for by name",
    },
    Step {
        title: "somebody asks without a token",
        query: Query { caller: None, wanted: Wanted::Features(&["customer:country"]), ..ADDRESSES },
        expected: Expected::Unauthorized,
        because: "nothing is read or asked upstream for a caller that nobody vouches for",
    },
];

/// The edit before the last step: a line of the policy.
pub const LINE: &str = "      pii: AllowInternal               # marketing";
/// What it becomes.
pub const EDITED: &str = "      pii: Allow                       # marketing";

/// The last step.
pub const EDIT: Step = Step {
    title: "the policy file is edited while all this runs, and marketing asks again",
    query: ADDRESSES,
    expected: Expected::Columns(&["country", "email", "avg_amount"], 0),
    because: "its line `pii: AllowInternal` reads `pii: Allow` now (the demo puts it back)",
};
