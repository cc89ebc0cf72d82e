//! What Chalk's exports, its queries and the files about them have in common: expressions, the names that are no features
//! (wire-chalk.md, sections 4 and 5.1), the switches, and the paths. Checked against chalkpy 2.166.1.

pub mod expression;
pub mod paths;
mod switch;

pub use switch::Switch;

/// The namespace of the features that Chalk makes up for each query: the time, the row's number.
pub const PSEUDO_NAMESPACE: &str = "__chalk__";

/// Their names, which stand in every namespace.
pub const PSEUDO: &[&str] = &[
    "now",
    "index",
    "chalk_now",
    "chalk_window",
    "CHALK_TS",
    "__id__",
    "__index__",
    "__distance__",
    "__observed_at__",
    "__replaced_observed_at__",
];

/// Seconds of a duration as Chalk writes windows: `1h`, `1d 12h`. `None`: written in another way.
pub fn duration(text: &str) -> Option<i64> {
    let mut total: i64 = 0;
    let mut number: Option<i64> = None;
    for c in text.chars().filter(|c| !c.is_whitespace()) {
        if let Some(digit) = c.to_digit(10) {
            number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(i64::from(digit))?);
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86400,
            'w' => 604_800,
            _ => return None,
        };
        total = total.checked_add(number.take()?.checked_mul(unit)?)?;
    }
    (number.is_none() && !text.is_empty()).then_some(total)
}
