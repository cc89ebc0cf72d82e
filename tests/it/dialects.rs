//! Servers that a file describes (docs/dialects/README.md).

mod files;
mod vendors;
