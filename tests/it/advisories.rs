//! How products of this kind were broken, one test for each class of advisory that no other file holds. docs/security.md has
//! all of the classes with the tests that hold them.

mod claims;
mod paths;
mod wire;

/// Routes to try to get at: one for callers with a role, one for anybody.
const ROUTES: &str = "\
routes:
  - {path: /v1/items, methods: [GET, POST]}
  - {path: /v1/open, methods: [GET], public: true}";
