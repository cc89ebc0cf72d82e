//! What `client list` prints: names and times, never a hash.

use clap::ValueEnum;
use serde_json::json;

use crate::issuer::clients::{Client, Clients, time};

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

pub(super) fn list(clients: &Clients, format: Format, now: u64) -> String {
    match format {
        Format::Text => table(clients, now),
        Format::Json => as_json(clients, now),
    }
}

fn table(clients: &Clients, now: u64) -> String {
    let mut rows = vec![["client", "secrets", "api keys", "claims", "state"].map(str::to_owned)];
    rows.extend(clients.iter().map(|client| row(client, now)));
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..5).map(width).collect();
    let line = |row: &[String; 5]| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

fn row(client: &Client, now: u64) -> [String; 5] {
    let joined = |cells: Vec<String>| if cells.is_empty() { "-".to_owned() } else { cells.join(", ") };
    let secrets = client.secrets.iter().map(|secret| {
        let kind = if secret.is_imported() { "imported" } else { "" };
        named(&secret.id, kind, secret.expires, now)
    });
    let keys = client.api_keys.iter().map(|key| named(&key.id, "", key.expires, now));
    let state = if client.disabled { "disabled" } else { "enabled" };
    [
        client.id.clone(),
        joined(secrets.collect()),
        joined(keys.collect()),
        joined(client.claims.keys().cloned().collect()),
        state.to_owned(),
    ]
}

/// `s1 (imported, ends 2026-11-24T08:00:00Z)`.
fn named(id: &str, kind: &str, expires: Option<u64>, now: u64) -> String {
    let ends = expires.and_then(|expires| {
        let word = if expires <= now { "ended" } else { "ends" };
        Some(format!("{word} {}", time::shown(expires)?))
    });
    let more: Vec<&str> = [Some(kind).filter(|kind| !kind.is_empty()), ends.as_deref()].into_iter().flatten().collect();
    if more.is_empty() { id.to_owned() } else { format!("{id} ({})", more.join(", ")) }
}

fn as_json(clients: &Clients, now: u64) -> String {
    let ended = |expires: Option<u64>| expires.is_some_and(|expires| expires <= now);
    let shown = |expires: Option<u64>| expires.and_then(time::shown);
    let client = |client: &Client| {
        let secrets = client.secrets.iter().map(|secret| {
            let (imported, expires) = (secret.is_imported(), secret.expires);
            json!({"id": secret.id, "imported": imported, "expires": shown(expires), "expired": ended(expires)})
        });
        let keys = client.api_keys.iter().map(|key| {
            let (created, expires) = (&key.created, key.expires);
            json!({"id": key.id, "created": created, "expires": shown(expires), "expired": ended(expires)})
        });
        json!({
            "id": client.id,
            "secrets": secrets.collect::<Vec<_>>(),
            "api_keys": keys.collect::<Vec<_>>(),
            "claims": client.claims.keys().collect::<Vec<_>>(),
            "disabled": client.disabled,
        })
    };
    format!("{}\n", json!({"clients": clients.iter().map(|each| client(each)).collect::<Vec<_>>()}))
}
