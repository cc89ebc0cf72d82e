//! The layouts of wire-feast.md, section 5.

use super::*;

fn scoped(mut answer: Described, variable: &str, at: &str) -> Described {
    answer.scope.push((variable.to_owned(), pointer(at)));
    answer
}

fn passing(mut answer: Described, pass: &[&str]) -> Described {
    answer.pass = pointers(pass);
    answer
}

fn keeping(mut answer: Described, keep: &[&str]) -> Described {
    answer.keep = keep.iter().map(|name| (*name).to_owned()).collect();
    answer
}

fn sparse(answer: Described) -> Described {
    Described { sparse: true, ..answer }
}

fn tecton() -> Vec<Described> {
    let shape = rows("/metadata/features/*/name", "/result/features", &[]);
    vec![passing(plain(shape), &["/metadata/features/*/dataType", "/metadata/sloInfo"])]
}

#[test]
fn tecton() {
    let body = r#"{"result":{"features":["1", {"a": [2]}, 0.10]},"metadata":{"features":[{"name":"v.a","dataType":{"type":"int64"}},
 {"name":"v.b","dataType":{"type":"float64"}},{"name":"v.c","status":"PRESENT"}],"sloInfo":{"sloEligible":true}}}"#;
    assert_eq!(
        Case::new(tecton_described(), &["v.a", "v.c"], &["v.b"]).said(body),
        r#"1 {"result":{"features":["1", 0.10]},"metadata":{"features":[{"name":"v.a","dataType":{"type":"int64"}},{"name":"v.c"}],"sloInfo":{"sloEligible":true}}}"#
    );
}
