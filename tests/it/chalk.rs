//! The doors of the Chalk dialect in a running sidecar, before a server that keeps nothing back: it answers more than it is
//! asked, in every protocol, so that each hole shows. Every test looks at both ends: what the caller got, and what came
//! upstream.

mod ask;
mod audit;
mod cases;
mod decode;
mod headers;
mod items;
mod limits;
mod routes;
mod spellings;
mod tokens;
mod uploads;
mod went;
mod world;
