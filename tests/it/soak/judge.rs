//! What an answer may be: it is explained by one policy and one key set that were in force while it was asked for, or the run
//! has failed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::support::client::Answer;

/// Every feature of the view; [`permitted`] says which of them pass.
pub const FEATURES: [&str; 8] = ["open", "x0", "x1", "x2", "y0", "y1", "y2", "shut"];
/// How many rows each query asks for.
pub const ROWS: usize = 2;

/// What config.md lists, and the statuses that each code has here: the upstream's own errors are 500 and 503.
const CODES: [(&str, &[u16]); 16] = [
    ("UNAUTHORIZED", &[401]),
    ("TOKEN_EXPIRED", &[401]),
    ("TOO_MANY_ATTEMPTS", &[429]),
    ("FORBIDDEN", &[403]),
    ("FEATURES_REFUSED", &[403]),
    ("INVALID_QUERY", &[400]),
    ("NOT_FOUND", &[404]),
    ("METHOD_NOT_ALLOWED", &[405]),
    ("BODY_TOO_LARGE", &[413]),
    ("UNSUPPORTED", &[415]),
    ("REQUEST_TIMEOUT", &[408]),
    ("OVERLOADED", &[503]),
    ("KEYS_UNAVAILABLE", &[503]),
    ("UPSTREAM_FAILED", &[502, 500, 503]),
    ("UPSTREAM_UNREADABLE", &[502]),
    ("UPSTREAM_TIMEOUT", &[504]),
];

/// Which of the two policies: policy `number` is `A` where the number is even.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// x and not y.
    A,
    /// y and not x.
    B,
}

impl Side {
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// Of a policy by its number.
    pub fn of(number: usize) -> Self {
        if number.is_multiple_of(2) { Self::A } else { Self::B }
    }
}

/// Whether a policy gives a feature away.
pub fn permitted(side: Side, feature: &str) -> bool {
    match feature.as_bytes() {
        b"open" => true,
        [b'x', ..] => side == Side::A,
        [b'y', ..] => side == Side::B,
        _ => false,
    }
}

/// Versions of a file: from the last that was known to be in force when a request began, to the last that was written when
/// its answer was there.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub oldest: usize,
    pub newest: usize,
}

impl Window {
    fn any(self, of: impl FnMut(usize) -> bool) -> bool {
        (self.oldest..=self.newest).any(of)
    }
}

/// Whose token a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// Signed by the key of this number. Key set `n` holds the keys `n - 1` and `n`.
    Key(usize),
    /// The same, but it has ended.
    Expired(usize),
    /// None, or one of a stranger.
    Bad,
    /// None is asked for.
    Unasked,
}

impl Token {
    /// Whether a key set knows its key: what may be, in this window.
    fn known(self, keys: Window) -> bool {
        match self {
            Self::Key(key) | Self::Expired(key) => keys.any(|set| set == key || set == key + 1),
            Self::Bad => false,
            Self::Unasked => true,
        }
    }

    /// Whether a key set does not.
    fn unknown(self, keys: Window) -> bool {
        match self {
            Self::Key(key) | Self::Expired(key) => keys.any(|set| set != key && set != key + 1),
            Self::Bad => true,
            Self::Unasked => false,
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Features, by a caller whose answers are cut, or whose queries are refused whole.
    Features { cut: bool, names: Vec<&'static str> },
    /// A route that is passed through.
    Pass,
    /// What fails with this code whoever asks.
    Never(&'static str),
    /// What fails with this code once the caller is known.
    Fails(&'static str),
}

/// A request, as far as its answer depends on it.
#[derive(Clone, Debug)]
pub struct Asked {
    pub token: Token,
    pub wish: Wish,
}

/// What an answer was.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    /// `OK`, `FILTERED`, or the error's code.
    pub code: String,
    /// A decision was made for it, so that it has an audit line.
    pub decided: bool,
    /// The only policy that explains it, where the answer tells.
    pub side: Option<Side>,
}

/// Judges one answer.
pub fn judge(asked: &Asked, answer: &Answer, policies: Window, keys: Window) -> Result<Verdict, String> {
    explain(asked, answer, policies, keys).map_err(|why| {
        format!("{why}: {asked:?} under policies {policies:?} and keys {keys:?} was answered {answer:?}")
    })
}

fn explain(asked: &Asked, answer: &Answer, policies: Window, keys: Window) -> Result<Verdict, String> {
    let id = answer.headers.iter().filter(|(name, _)| name == "x-tagwarden-decision-id").collect::<Vec<_>>();
    if !matches!(id.as_slice(), [(_, id)] if id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())) {
        return Err("there is no decision id".to_owned());
    }
    let told = told(answer);
    if answer.status == 200 {
        return given(asked, answer, &told, policies, keys);
    }
    if !told.is_empty() {
        return Err(format!("an error tells of {told:?}"));
    }
    refused(asked, answer, policies, keys)
}

/// An answer 200.
fn given(
    asked: &Asked,
    answer: &Answer,
    told: &BTreeMap<String, usize>,
    policies: Window,
    keys: Window,
) -> Result<Verdict, String> {
    if !asked.token.known(keys) || matches!(asked.token, Token::Expired(_)) {
        return Err("the token was good for nothing".to_owned());
    }
    match &asked.wish {
        Wish::Never(code) | Wish::Fails(code) => Err(format!("it is not {code}")),
        Wish::Pass if answer.body == br#"{"ok":true}"# => {
            Ok(Verdict { code: "OK".to_owned(), decided: false, side: None })
        }
        Wish::Pass => Err("not what the upstream says there".to_owned()),
        Wish::Features { cut, names } => {
            let fits = |side: &Side| {
                let kept: Vec<&str> = names.iter().copied().filter(|name| permitted(*side, name)).collect();
                (*cut || kept.len() == names.len()) && is_exactly(answer, told, &kept)
            };
            let sides: Vec<Side> = Side::BOTH.into_iter().filter(fits).collect();
            if sides.is_empty() {
                return Err(format!("no policy explains {told:?}"));
            }
            if !policies.any(|number| sides.contains(&Side::of(number))) {
                return Err(format!("{sides:?} was not in force"));
            }
            let dropped = names.len() - told.len();
            let said = answer.header("x-tagwarden-filtered").unwrap_or("0");
            if said != dropped.to_string() {
                return Err(format!("`x-tagwarden-filtered` is {said} and {dropped} are gone"));
            }
            let code = if dropped == 0 { "OK" } else { "FILTERED" }.to_owned();
            Ok(Verdict { code, decided: true, side: only(&sides) })
        }
    }
}

/// An error.
fn refused(asked: &Asked, answer: &Answer, policies: Window, keys: Window) -> Result<Verdict, String> {
    let body: Value = serde_json::from_slice(&answer.body).map_err(|error| format!("no error of ours ({error})"))?;
    let code = body["error"]["code"].as_str().ok_or("no code")?;
    let listed = CODES.iter().find(|(listed, _)| *listed == code);
    if !listed.is_some_and(|(_, statuses)| statuses.contains(&answer.status)) {
        return Err(format!("{code} with {} is not on the list", answer.status));
    }
    if body["error"]["decision_id"].as_str() != answer.header("x-tagwarden-decision-id") {
        return Err("header and body give two ids".to_owned());
    }
    let (known, unknown) = (asked.token.known(keys), asked.token.unknown(keys));
    let expired = matches!(asked.token, Token::Expired(_));
    let verdict = |decided, side| Ok(Verdict { code: code.to_owned(), decided, side });
    match (&asked.wish, code) {
        (Wish::Never(wanted), code) if *wanted == code => verdict(false, None),
        (Wish::Never(_), _) => Err("not the error that it should be".to_owned()),
        (_, "UNAUTHORIZED") if unknown => verdict(false, None),
        (_, "TOKEN_EXPIRED") if expired && known => verdict(false, None),
        _ if expired || !known => Err("the token was good for nothing".to_owned()),
        (Wish::Fails(wanted), code) if *wanted == code => verdict(code == "FEATURES_REFUSED", None),
        (Wish::Pass, "UPSTREAM_FAILED") => verdict(false, None),
        (Wish::Features { cut, names }, "UPSTREAM_FAILED" | "UPSTREAM_UNREADABLE") => {
            let sent = |number| *cut || names.iter().all(|name| permitted(Side::of(number), name));
            if policies.any(sent) { verdict(true, None) } else { Err("it should not have gone upstream".to_owned()) }
        }
        (Wish::Features { cut: false, names }, "FEATURES_REFUSED") => {
            let said: Option<BTreeSet<&str>> =
                body["error"]["refused"].as_array().map(|names| names.iter().filter_map(Value::as_str).collect());
            let of = |side: Side| -> BTreeSet<String> {
                names.iter().filter(|name| !permitted(side, name)).map(|name| format!("view:{name}")).collect()
            };
            let said: BTreeSet<String> = said.unwrap_or_default().into_iter().map(str::to_owned).collect();
            let sides: Vec<Side> =
                Side::BOTH.into_iter().filter(|side| !said.is_empty() && of(*side) == said).collect();
            if policies.any(|number| sides.contains(&Side::of(number))) {
                verdict(true, only(&sides))
            } else {
                Err(format!("no policy in force refuses {said:?}"))
            }
        }
        _ => Err("not an error that it could be".to_owned()),
    }
}

fn only(sides: &[Side]) -> Option<Side> {
    if let [side] = sides { Some(*side) } else { None }
}

/// Whether an answer has these columns and no other, in their order, each with its own values.
fn is_exactly(answer: &Answer, told: &BTreeMap<String, usize>, kept: &[&str]) -> bool {
    let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else { return false };
    let names: Option<Vec<&str>> =
        body["metadata"]["feature_names"].as_array().map(|names| names.iter().filter_map(Value::as_str).collect());
    let expected: Vec<&str> = ["customer_id"].into_iter().chain(kept.iter().copied()).collect();
    let values = kept.iter().enumerate().all(|(at, name)| {
        (0..ROWS).all(|row| body["results"][at + 1]["values"][row] == format!("view__{name} of row {row}"))
    });
    names.as_ref() == Some(&expected)
        && values
        && body["results"].as_array().is_some_and(|columns| columns.len() == expected.len())
        && told.len() == kept.len()
        && kept.iter().all(|name| told.get(*name) == Some(&ROWS))
}

/// Of which features there are values anywhere in an answer, and how many.
fn told(answer: &Answer) -> BTreeMap<String, usize> {
    let headers = answer.headers.iter().chain(&answer.trailers).flat_map(|(name, value)| [name.as_str(), value]);
    let body = String::from_utf8_lossy(&answer.body);
    let mut told = BTreeMap::new();
    for text in headers.chain([&*body]) {
        for (at, marker) in text.match_indices("view__") {
            let rest = &text[at + marker.len()..];
            let name: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
            *told.entry(name).or_default() += 1;
        }
    }
    told
}

#[cfg(test)]
mod tests;
