//! Descriptions that do not make a layout.

use super::*;

fn refused(answers: Vec<Described>, adds: &[&str]) -> String {
    Layout::new(&answers, &[force(adds)]).unwrap_err().to_string()
}

fn with_pass(shape: Shape, pass: &[&str]) -> Vec<Described> {
    vec![Described { pass: pointers(pass), ..plain(shape) }]
}

fn with_scope(shape: Shape, at: &str) -> Vec<Described> {
    vec![Described { scope: vec![("v".to_owned(), pointer(at))], ..plain(shape) }]
}

#[test]
fn places_within_each_other() {
    let within = |at| format!("`{at}` is taken as a whole, and something within it is described as well");
    assert_eq!(refused(with_pass(objects(""), &["/status"]), &[]), within(""));
    assert_eq!(refused(with_pass(objects("/a"), &["/a/b"]), &[]), within("/a"));
    assert_eq!(refused(with_pass(objects("/a/b"), &["/a"]), &[]), within("/a"));
    assert_eq!(refused(with_pass(objects("/a"), &["/b", "/b/*/c"]), &[]), within("/b"));
    assert_eq!(refused(with_pass(records("/a/*", "/name"), &["/a/*/value"]), &[]), within("/a"));
    assert_eq!(refused(with_pass(columns("/n/*", "/v", &[]), &["/v/*/status"]), &[]), within("/v/*"));
    assert_eq!(refused(with_pass(columns("/n/*/name", "/v", &[]), &["/n/*"]), &[]), within("/n/*"));
    assert_eq!(refused(vec![plain(objects("/a")), plain(records("/a/b/*", "/name"))], &[]), within("/a"));
    assert_eq!(refused(vec![plain(records("/a/b/*", "/name")), plain(objects("/a"))], &[]), within("/a"));
    // Several rows and the one row.
    assert_eq!(refused(vec![plain(rows("/n/*", "/f/*", &[])), plain(rows("/m/*", "/f", &[]))], &[]), within("/f/*"));
    assert_eq!(refused(with_scope(objects("/a/*"), "/a/*/b"), &[]), within("/a/*"));
    assert_eq!(refused(vec![plain(objects("/a"))], &["/a/b"]), within("/a"));
}

#[test]
fn places_with_two_meanings() {
    let two = |at| format!("`{at}` is described in two ways");
    assert_eq!(refused(vec![plain(objects("/a")), plain(objects("/a"))], &[]), two("/a"));
    assert_eq!(refused(with_pass(objects("/a"), &["/a"]), &[]), two("/a"));
    assert_eq!(refused(vec![plain(columns("/n/*", "/n", &[]))], &[]), two("/n/*"));
    // One list of names cannot be cut by two.
    assert_eq!(refused(vec![plain(rows("/n/*", "/a", &[])), plain(rows("/n/*", "/b", &[]))], &[]), two("/n"));
    assert_eq!(refused(with_pass(objects("/a"), &["/b/c", "/b/*"]), &[]), "`/b` cannot be an object and an array");
    assert_eq!(refused(with_pass(objects("/*"), &["/b"]), &[]), "`` cannot be an object and an array");
}

#[test]
fn places_that_do_not_fit_their_shape() {
    for names in ["/names", "/*/names/*", ""] {
        assert_eq!(
            refused(vec![plain(rows(names, "/v", &[]))], &[]),
            format!("`{names}` needs one `*`, which stands for each name")
        );
    }
    assert_eq!(
        refused(vec![plain(records("/a", "/name"))], &[]),
        "`/a` needs `*` as its last step, which stands for each record"
    );
    for name in ["", "/*", "/a/*/b"] {
        assert_eq!(
            refused(vec![plain(records("/a/*", name))], &[]),
            format!("`{name}` needs the keys from a record to its name, without `*`")
        );
    }
    for (at, scope) in [("/a/*", "/b/*/c"), ("/a/*/b", "/a/*"), ("/a", ""), ("/a/*", "/a/*/c/*/d")] {
        assert_eq!(
            refused(with_scope(objects(at), scope), &[]),
            format!("`{scope}` does not go with the features up to its last `*`, or ends there")
        );
    }
    assert_eq!(
        refused(with_scope(rows("/n/*", "/a/*/b", &[]), "/a/*/c"), &[]),
        "`/a/*/c` has a `*`, but one list of names holds for all columns or rows"
    );
    for adds in ["", "/a", "/v", "/v/*"] {
        let answers = vec![plain(columns("/n/*", "/v", &[])), plain(objects("/a/b"))];
        assert_eq!(
            refused(answers, &["/m", adds]),
            format!("`{adds}` holds values of features: what is forced must not add them")
        );
    }
    assert_eq!(
        refused(with_pass(objects("/a"), &[&"/b".repeat(129)]), &[]),
        "a place has more than 128 steps: `/b/b/b/b`…"
    );
}

#[test]
fn what_is_forced_may_add_places_within_each_other() {
    let answers = vec![plain(columns("/m/n/*/name", "/v", &[]))];
    let body = r#"{"v":[1],"m":{"n":[{"name":"a","type":1}],"x":2}}"#;
    let said = |adds: &[&[&str]], asked_for: &[bool]| {
        let mut case = Case::new(answers.clone(), &["a"], &[]);
        adds.iter().for_each(|adds| case.force.push(force(adds)));
        case.asked_for = asked_for.to_vec();
        case.said(body)
    };
    assert_eq!(said(&[&["/m", "/m/n/*/type", "/m/x"]], &[false]), r#"0 {"v":[1]}"#);
    assert_eq!(said(&[&["/m", "/m/n/*/type", "/m/x"]], &[true]), "as it came");
    // Two of them add one place: it goes where the caller had asked for neither.
    let both: &[&[&str]] = &[&["/m", "/m/n/*/name"], &["/m", "/m/n/*/type", "/m/x"]];
    assert_eq!(said(both, &[false, false]), r#"0 {"v":[1]}"#);
    assert_eq!(said(both, &[false, true]), r#"0 {"v":[1],"m":{"n":[{"type":1}],"x":2}}"#);
    assert_eq!(said(both, &[true, false]), r#"0 {"v":[1],"m":{"n":[{"name":"a"}]}}"#);
    // Nothing is said of the second: it was put in.
    assert_eq!(said(both, &[true]), r#"0 {"v":[1],"m":{"n":[{"name":"a"}]}}"#);
    assert_eq!(said(both, &[]), r#"0 {"v":[1]}"#);
}
