//! Policy files: a policy, and behind a byte 0 a catalogue. What is read has no errors and decides every feature for every role,
//! the same each time; what has errors is not read.

use std::sync::Arc;

use tagwarden::diagnostic::SourceFile;
use tagwarden::policy::decide::{Name, Resolved};
use tagwarden::policy::load;
use tagwarden::policy::resolve::RoleId;

use super::parts;

/// One run.
pub fn run(data: &[u8]) {
    let [policy, catalogue] = parts(data).map(std::str::from_utf8);
    let (Ok(policy), Ok(catalogue)) = (policy, catalogue) else { return };
    let file = |name: &str, text: &str| Arc::new(SourceFile { name: name.to_owned(), text: text.to_owned() });
    let rules = [file("policy.yaml", policy)];
    let catalogue: Vec<_> =
        Some(catalogue).filter(|text| !text.is_empty()).map(|text| file("catalogue.yaml", text)).into_iter().collect();
    let (loaded, report) = load(&rules, &catalogue);
    let _ = report.to_string();
    let Some(loaded) = loaded else {
        assert!(report.has_errors(), "it is not said why there is no policy");
        return;
    };
    assert!(!report.has_errors(), "{report}");
    let again = load(&rules, &catalogue).0.expect("it was read before");
    let roles: Vec<RoleId> = loaded.role_names().filter_map(|name| loaded.role_id(name)).collect();
    let (tables, tables_again) = (loaded.tables(&roles), again.tables(&roles));
    let (resolved, resolved_again) = (Resolved::new(&loaded, &tables, &[]), Resolved::new(&again, &tables_again, &[]));
    for feature in loaded.catalogue.features().iter().take(200) {
        let name = |policy| Name::of(policy, &feature.name);
        assert_eq!(resolved.verdict(&name(&loaded), false), resolved_again.verdict(&name(&again), false));
        // By a path a feature is no more open than on the row that is asked for.
        let _ = resolved.verdict(&name(&loaded), true);
    }
}
