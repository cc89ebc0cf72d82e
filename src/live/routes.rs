//! `routes` of a configuration that load and probably do not say what was meant.

use crate::config::{Config, Dialect, Route, feast};
use crate::diagnostic::{Code, Diagnostic, Report};
use crate::policy::Policy;

/// Looks for paths that seem to be patterns, and for roles that the policy does not have. Paths are compared whole, so no route
/// hides another.
pub fn lint_routes(routes: &[Route], dialect: Dialect, policy: &Policy, report: &mut Report) {
    for route in routes {
        // Feast's own are written with the variable that they have.
        let door = dialect == Dialect::Feast && feast::Door::at(&route.path).is_some();
        if !door && route.path.contains(['*', '{', '}']) {
            let message = format!("route `{}` is no pattern: only this very path is like it", route.path);
            report.push(Diagnostic::new(Code::LiteralRoute, &route.place, message));
        }
        for name in route.roles.iter().flatten() {
            if !policy.roles.iter().any(|role| role.name == *name) {
                let message = format!("route `{}` is for role `{name}`, which the policy does not define", route.path);
                let known = policy.roles.iter().map(|role| role.name.as_str());
                report.push(Diagnostic::new(Code::RouteRole, &route.place, message).suggest(name, known));
            }
        }
    }
}

/// Says in the log what is served all the same.
pub(super) fn tell(config: &Config, policy: &Policy) {
    let mut report = Report::default();
    lint_routes(&config.routes, config.upstream.dialect, policy, &mut report);
    for finding in &report.diagnostics {
        tracing::warn!(place = finding.place.file_line(), warning = finding.message, "in `routes`");
    }
}
