//! Servers that a file describes (docs/dialects/README.md).

mod attacks;
mod files;
mod tried;
mod vendors;
