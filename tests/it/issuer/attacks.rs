//! How somebody tries to get round the issuer, one test each, against a sidecar that runs. What needs a clock or a store of its
//! own is tested beside the code.

mod authentication;
mod kinds;
mod outage;
mod races;
mod requests;
mod secrets;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const GRANT: (&str, &str) = ("grant_type", "client_credentials");
const FORM: &str = "content-type: application/x-www-form-urlencoded\r\n";

fn basic(text: impl AsRef<[u8]>) -> String {
    format!("authorization: Basic {}\r\n", STANDARD.encode(text))
}
