//! `tagwarden conformance`, as docs/conformance.md shows it.
