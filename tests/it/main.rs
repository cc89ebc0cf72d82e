//! The one integration binary: the sidecar as it runs, between a client and an upstream that both play foul.

mod support;

mod bugs;
mod cli;
mod demo;
mod floors;
mod observe;
mod observe_secrets;
mod proxy_bodies;
mod proxy_hygiene;
mod proxy_limits;
mod proxy_slow;
mod proxy_smuggling;
mod proxy_upstream;
mod proxy_way;
mod proxy_way_tokens;
mod reload;
mod reload_files;
mod shutdown;
mod tls;
