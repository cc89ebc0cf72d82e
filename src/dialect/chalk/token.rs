//! Client credentials -> a token, where the deployment behind gives it (wire-chalk.md, sections 2.1 to 2.3).
//!
//! The deployment's answer leads its clients to its engines, past us. So the answer is made anew: of the deployment's own
//! no more than the token, how long it holds, and what our environment is called; every address is ours. Neither is
//! anything of a request passed on but what is named here. No error holds anything of a request or an answer.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::proto::{GetTokenRequest, GetTokenResponse};
use crate::dialect::{Invalid, Unreadable};
use crate::json::strict_object;

#[cfg(test)]
mod tests;

/// The one grant that there is.
const GRANT: &str = "client_credentials";

/// Reads a request to `/v1/oauth/token` and makes it anew: `client_id`, `client_secret`, `grant_type` and `scope`, which may be
/// null or left out.
///
/// # Errors
/// Another form, another grant, anything else that stands in it.
pub fn read_token_json(body: &[u8]) -> Result<Vec<u8>, Invalid> {
    let asked = strict_object(body).ok_or_else(|| invalid("the body is no JSON object with every member once"))?;
    if asked.keys().any(|name| !["client_id", "client_secret", "grant_type", "scope"].contains(&name.as_str())) {
        // Without its name: a body that is none could hold a secret there.
        return Err(invalid("a token is asked for with `client_id`, `client_secret`, `grant_type` and `scope` alone"));
    }
    let text = |name: &str| match asked.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.as_str()),
        Some(_) | None => Err(Invalid(format!("`{name}` is missing, or no text"))),
    };
    let scope = match asked.get("scope") {
        Some(scope @ (Value::String(_) | Value::Null)) => scope.clone(),
        None => Value::Null,
        Some(_) => return Err(invalid("`scope` is neither a text nor null")),
    };
    granted(text("grant_type")?)?;
    let anew = json!({
        "client_id": text("client_id")?,
        "client_secret": text("client_secret")?,
        "grant_type": GRANT,
        "scope": scope,
    });
    Ok(anew.to_string().into_bytes())
}

/// The same of a request to `AuthService/GetToken`, which was read strictly before.
///
/// # Errors
/// Another grant, no client, no secret.
pub fn read_token_proto(asked: GetTokenRequest) -> Result<GetTokenRequest, Invalid> {
    granted(&asked.grant_type)?;
    if asked.client_id.is_empty() || asked.client_secret.is_empty() {
        return Err(invalid("a token is asked for without `client_id` or without `client_secret`"));
    }
    let GetTokenRequest { client_id, client_secret, grant_type, scope, expires_at } = asked;
    Ok(GetTokenRequest { client_id, client_secret, grant_type, scope, expires_at })
}

fn granted(grant: &str) -> Result<(), Invalid> {
    if grant == GRANT { Ok(()) } else { Err(invalid("the grant is `client_credentials`, and there is no other")) }
}

/// The deployment's answer, of status 200, as clients may have it: every address is `public_url` (without a slash at its end),
/// and `environment` the only one that there is; without it none is named.
///
/// # Errors
/// It gives no token, or not in the form of section 2.2.
pub fn rewrite_token_json(body: &[u8], public_url: &str, environment: Option<&str>) -> Result<Vec<u8>, Unreadable> {
    let given = strict_object(body).ok_or_else(|| unreadable("the token's answer is no JSON object"))?;
    let text = |name: &str| match given.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Ok(json!(text)),
        Some(_) | None => Err(Unreadable(format!("the token's answer has no text `{name}`"))),
    };
    let mut anew = Map::new();
    anew.insert("access_token".to_owned(), text("access_token")?);
    anew.insert("token_type".to_owned(), text("token_type")?);
    match given.get("expires_in").and_then(Value::as_u64) {
        Some(seconds) => anew.insert("expires_in".to_owned(), json!(seconds)),
        None => return Err(unreadable("the token's answer has no whole number `expires_in`")),
    };
    match given.get("expires_at") {
        None | Some(Value::Null) => None,
        Some(Value::String(time)) if is_time(time) => anew.insert("expires_at".to_owned(), json!(time)),
        Some(_) => return Err(unreadable("the token's answer has an `expires_at` that is no time")),
    };
    let name = environment.and_then(|environment| given.get("environment_id_to_name")?.get(environment)?.as_str());
    anew.insert("api_server".to_owned(), json!(public_url));
    anew.insert("primary_environment".to_owned(), json!(environment));
    anew.insert("engines".to_owned(), json!(one(environment, public_url)));
    anew.insert("grpc_engines".to_owned(), json!(one(environment, public_url)));
    anew.insert("environment_id_to_name".to_owned(), json!(one(environment, name.or(environment).unwrap_or_default())));
    Ok(Value::Object(anew).to_string().into_bytes())
}

/// The same of `AuthService/GetToken`. Authorities and prefixes, from which clients make addresses of their own, are none.
///
/// # Errors
/// It gives no token.
pub fn rewrite_token_proto(
    given: GetTokenResponse,
    public_url: &str,
    environment: Option<&str>,
) -> Result<GetTokenResponse, Unreadable> {
    if given.access_token.is_empty() || given.token_type.is_empty() || given.expires_in < 0 {
        return Err(unreadable("the answer to GetToken holds no token, no type of it, or no time that it holds"));
    }
    let name = environment.and_then(|environment| given.environment_id_to_name.get(environment)).map(String::as_str);
    Ok(GetTokenResponse {
        api_server: public_url.to_owned(),
        primary_environment: environment.map(str::to_owned),
        engines: one(environment, public_url),
        grpc_engines: one(environment, public_url),
        environment_id_to_name: one(environment, name.or(environment).unwrap_or_default()),
        environment_id_to_authority: BTreeMap::new(),
        service_prefixes: BTreeMap::new(),
        access_token: given.access_token,
        token_type: given.token_type,
        expires_in: given.expires_in,
        expires_at: given.expires_at,
    })
}

fn one(environment: Option<&str>, value: &str) -> BTreeMap<String, String> {
    environment.map(|environment| (environment.to_owned(), value.to_owned())).into_iter().collect()
}

/// Of the letters that a time of RFC 3339 has: nothing else fits where clients read one.
fn is_time(text: &str) -> bool {
    (20..=40).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'-' | b':' | b'.' | b'+' | b'T' | b'Z' | b't' | b'z'))
}

fn invalid(why: &str) -> Invalid {
    Invalid(why.to_owned())
}

fn unreadable(why: &str) -> Unreadable {
    Unreadable(why.to_owned())
}
