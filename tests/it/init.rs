//! `init` gives what `check` and `test` accept.

use crate::support::Folder;
use crate::support::process::run;

#[test]
fn what_it_writes_checks_without_a_warning_and_passes_its_tests() {
    let folder = Folder::new();
    let at = |name: &str| folder.path(name).into_os_string();
    let (code, said, complaint) = run(["init".into(), at("new")]);
    assert_eq!((code, complaint.as_str()), (0, ""), "{said}");
    let (code, said, _) = run(["check".into(), "--deny-warnings".into(), "--config".into(), at("new/tagwarden.yaml")]);
    assert_eq!((code, said.as_str()), (0, "0 errors, 0 warnings\n"));
    let (code, said, _) =
        run(["test".into(), "--policies".into(), at("new/policies"), "--catalogue".into(), at("new/catalogue.yaml")]);
    assert!(code == 0 && said.ends_with("3 passed, 0 failed\n"), "{code} {said}");
}

#[test]
fn it_overwrites_nothing() {
    let folder = Folder::new();
    folder.write("catalogue.yaml", "mine");
    let (code, _, said) = run(["init".into(), folder.path("").into_os_string()]);
    assert!(code == 1 && said.contains("is there already, and nothing was written"), "{code} {said}");
    assert_eq!(std::fs::read_to_string(folder.path("catalogue.yaml")).unwrap(), "mine");
    assert!(!folder.path("tagwarden.yaml").exists());
}
