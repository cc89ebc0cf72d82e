//! The tour: a few queries, what each gets, and why. It checks what it says.

mod steps;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Weak;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Method, Request, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::time::timeout;

use super::issuer::Secrets;
use crate::cli::print;
use crate::live::Live;
pub use steps::{ADDRESSES, Query, SCORE, Wanted};
use steps::{EDIT, EDITED, Expected, LINE, Step, TOUR};

/// Bytes of an answer, and how long one may take.
pub const LARGEST_ANSWER: usize = 1 << 20;
pub const PATIENCE: Duration = Duration::from_secs(15);

/// An answer, as far as the tour looks at it.
struct Answer {
    status: u16,
    taken_out: usize,
    body: Value,
}

/// Asks the sidecar.
pub struct Tour<'a> {
    /// Its address, `http://host:port`.
    pub sidecar: String,
    /// What the callers get tokens for.
    pub secrets: &'a Secrets,
    /// The policy file that it runs with.
    pub policy: &'a Path,
    /// The running sidecar: to see that an edit holds.
    pub live: Weak<Live>,
}

impl Tour<'_> {
    /// Goes through all steps. `Ok(false)`: something else than the text says came back, which is printed.
    ///
    /// # Errors
    /// The sidecar or the policy file cannot be reached.
    pub async fn run(&self) -> Result<bool, String> {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let mut good = 0;
        for (step, number) in TOUR.iter().zip(1..) {
            good += usize::from(self.step(&client, number, step).await?);
        }
        self.edit(LINE, EDITED).await?;
        let edited = self.step(&client, TOUR.len() + 1, &EDIT).await;
        self.edit(EDITED, LINE).await?;
        good += usize::from(edited?);
        let all = TOUR.len() + 1;
        print(&format!("{good} of {all} queries went as described\n"));
        Ok(good == all)
    }

    async fn step(
        &self,
        client: &Client<HttpConnector, Full<Bytes>>,
        number: usize,
        step: &Step,
    ) -> Result<bool, String> {
        let query = &step.query;
        let asks = match query.wanted {
            Wanted::Features(features) => features.join(", "),
            Wanted::Service(service) => format!("feature service {service}"),
        };
        let row = |values: &[String]| values.iter().map(|value| format!("{value:<28}")).collect::<String>();
        let mut text = format!("{number}  {}\n   asks     {asks}\n", step.title);
        let mut rows = vec![("customer_id", query.customers.iter().map(i64::to_string).collect::<Vec<_>>())];
        if !query.baskets.is_empty() {
            rows.push(("basket_total", query.baskets.iter().map(f64::to_string).collect()));
        }
        for ((name, values), lead) in rows.iter().zip(["with     ", "         "]) {
            text.push_str(format!("   {lead}{name:<15}{}", row(values)).trim_end());
            text.push('\n');
        }
        let answer = self.ask(client, query).await?;
        let came = columns(&answer.body);
        match answer.body.pointer("/error/code").and_then(Value::as_str) {
            Some(code) => {
                let refused = strings(answer.body.pointer("/error/refused")).join(", ");
                let refused = if refused.is_empty() { refused } else { format!(": {refused}") };
                text.push_str(&format!("   gets     {} {code}{refused}\n", answer.status));
            }
            None => {
                let taken_out = match answer.taken_out {
                    0 => String::new(),
                    count => format!(", with {count} taken out"),
                };
                text.push_str(&format!("   gets     {}{taken_out}\n", answer.status));
                for (name, values) in came.iter().skip(1) {
                    text.push_str(format!("            {name:<15}{}", row(values)).trim_end());
                    text.push('\n');
                }
            }
        }
        text.push_str(&format!("   because  {}\n", step.because));
        let fits = fits(&step.expected, &answer, &came, query);
        if !fits {
            text.push_str(&format!("   NOT AS DESCRIBED: {}\n", answer.body));
        }
        print(&format!("{text}\n"));
        Ok(fits)
    }

    async fn ask(&self, client: &Client<HttpConnector, Full<Bytes>>, query: &Query) -> Result<Answer, String> {
        let failed = |why: String| format!("the sidecar cannot be asked: {why}");
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/get-online-features", self.sidecar))
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(caller) = query.caller {
            let token = self.secrets.token(client, &self.sidecar, caller).await?;
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::new(Bytes::from(query.body()))).map_err(|error| failed(error.to_string()))?;
        let exchange = async {
            let (head, body) = client.request(request).await.map_err(|error| failed(error.to_string()))?.into_parts();
            let body = Limited::new(body, LARGEST_ANSWER).collect().await.map_err(|error| failed(error.to_string()))?;
            let body = serde_json::from_slice(&body.to_bytes()).map_err(|error| failed(error.to_string()))?;
            let taken_out = head.headers.get("x-tagwarden-filtered").and_then(|value| value.to_str().ok());
            let taken_out = taken_out.and_then(|count| count.parse().ok()).unwrap_or(0);
            Ok(Answer { status: head.status.as_u16(), taken_out, body })
        };
        timeout(PATIENCE, exchange).await.map_err(|_| failed("no answer in time".to_owned()))?
    }

    /// Writes the policy file anew and waits until it is what is served.
    async fn edit(&self, from: &str, to: &str) -> Result<(), String> {
        let failed = |why: &str| format!("`{}` cannot be edited: {why}", self.policy.display());
        let generation = || self.live.upgrade().map(|live| live.proxy.snapshot.load().generation);
        let text = std::fs::read_to_string(self.policy).map_err(|error| failed(&error.to_string()))?;
        if text.matches(from).count() != 1 {
            return Err(failed("the line to change is not there once"));
        }
        let before = generation();
        std::fs::write(self.policy, text.replace(from, to)).map_err(|error| failed(&error.to_string()))?;
        let held = async {
            while generation() == before {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, held).await.map_err(|_| failed("the change did not hold in time"))
    }
}

fn strings(list: Option<&Value>) -> Vec<&str> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The columns of an answer: name and values, the latter as they are shown.
fn columns(body: &Value) -> Vec<(&str, Vec<String>)> {
    let results = body.get("results").and_then(Value::as_array);
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let values = |column: &Value| {
        column.get("values").and_then(Value::as_array).into_iter().flatten().map(shown).collect::<Vec<_>>()
    };
    let names = strings(body.pointer("/metadata/feature_names"));
    names.into_iter().zip(results.into_iter().flatten().map(values)).collect()
}

fn fits(expected: &Expected, answer: &Answer, came: &[(&str, Vec<String>)], query: &Query) -> bool {
    let refused = strings(answer.body.pointer("/error/refused"));
    let code = answer.body.pointer("/error/code").and_then(Value::as_str);
    match expected {
        Expected::Columns(names, taken_out) => {
            let mut wanted = vec!["customer_id"];
            wanted.extend(*names);
            let whole = |values: &Vec<String>| {
                values.len() == query.customers.len() && !values.iter().any(|value| value == "null")
            };
            answer.status == 200
                && answer.taken_out == *taken_out
                && came.iter().map(|(name, _)| *name).eq(wanted)
                && came.iter().all(|(_, values)| whole(values))
        }
        Expected::Refused(names) => {
            (answer.status, code) == (403, Some("FEATURES_REFUSED")) && refused.iter().eq(names.iter())
        }
        Expected::Unauthorized => (answer.status, code) == (401, Some("UNAUTHORIZED")),
    }
}
