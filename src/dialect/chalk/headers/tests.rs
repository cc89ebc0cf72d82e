use super::*;

fn of(headers: &[(&str, &str)], environment: Option<&str>) -> Result<Read, String> {
    let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes()));
    read(headers, environment).map_err(|error| error.0)
}

#[test]
fn each_header_of_the_table() {
    let forwarded = |name: &'static str, value: &str| vec![(name, value.to_owned())];
    let plain = |forward: Vec<(&'static str, String)>| Read { forward, ..Read::default() };
    let branch = |name: &'static str| Read { switches: [Switch::Branch].into(), ..plain(forwarded(name, "b-1")) };
    let cases = [
        (
            ("x-chalk-features-versioned", "true"),
            Read { versioned: true, ..plain(forwarded("x-chalk-features-versioned", "true")) },
        ),
        (("x-chalk-features-versioned", "false"), Read::default()),
        (("x-chalk-features-versioned", ""), Read::default()),
        (
            ("x-chalk-env-id", "envmock1"),
            Read { environment: Some("envmock1".to_owned()), ..plain(forwarded("x-chalk-env-id", "envmock1")) },
        ),
        (("x-chalk-branch-id", "b-1"), branch("x-chalk-branch-id")),
        (("x-chalk-preview-deployment", "b-1"), branch("x-chalk-preview-deployment")),
        (("x-chalk-deployment-tag", "b-1"), branch("x-chalk-deployment-tag")),
        (("x-chalk-branch-id", ""), Read::default()),
        (("x-chalk-deployment-type", "engine"), plain(forwarded("x-chalk-deployment-type", "engine"))),
        (("x-chalk-deployment-type", "engine-grpc"), plain(forwarded("x-chalk-deployment-type", "engine-grpc"))),
        (
            ("x-chalk-deployment-type", "branch"),
            Read { switches: [Switch::Branch].into(), ..plain(forwarded("x-chalk-deployment-type", "branch")) },
        ),
        (("x-chalk-server", "engine"), plain(forwarded("x-chalk-server", "engine"))),
        (("x-chalk-server", "go-api"), plain(forwarded("x-chalk-server", "go-api"))),
        (("x-chalk-trace-id", "t-1"), plain(forwarded("x-chalk-trace-id", "t-1"))),
        (("x-chalk-client-id", "token-full"), Read::default()),
        (("x-chalk-client-id", "what ever\u{1}"), Read::default()),
        (("x-chalk-query-name", "fraud model"), Read::default()),
        (("traceparent", "00-1-2-01"), Read::default()),
        (("x-chalkboard", "green"), Read::default()),
        (("my-x-chalk-branch-id", "b"), Read::default()),
    ];
    for (header, expected) in cases {
        if header.0 == ENVIRONMENT {
            assert_eq!(of(&[header], Some("envmock1")), Ok(expected), "{header:?}");
            continue;
        }
        assert_eq!(of(&[header], None), Ok(expected.clone()), "{header:?}");
        // The environment is never left to the token.
        let mut forced = expected;
        forced.forward.push((ENVIRONMENT, "envmock1".to_owned()));
        assert_eq!(of(&[header], Some("envmock1")), Ok(forced), "{header:?}");
    }
}

#[test]
fn what_is_not_in_the_table_is_refused() {
    let long = "a".repeat(257);
    let cases = [
        (("x-chalk-overlay", "1"), "the header `x-chalk-overlay` is not known"),
        (("x-chalk-trace-id-bin", "1"), "the header `x-chalk-trace-id-bin` is not known"),
        (("x-chalk", "1"), "the header `x-chalk` is not known"),
        (("x-chalk-", ""), "the header `x-chalk-` is not known"),
        (("x_chalk_branch_id", "b"), "the header `x_chalk_branch_id` is not known"),
        (("x-chalk-branch_id", "b"), "the header `x-chalk-branch_id` is not known"),
        (("x.chalk.branch.id", "b"), "the header `x.chalk.branch.id` is not known"),
        (("x+chalk~branch-id", "b"), "the header `x+chalk~branch-id` is not known"),
        (("x_chalk_client_id", "b"), "the header `x_chalk_client_id` is not known"),
        (("x-chalk-features-versioned", "1"), "the header `x-chalk-features-versioned` is neither `true` nor `false`"),
        (
            ("x-chalk-features-versioned", "True"),
            "the header `x-chalk-features-versioned` is neither `true` nor `false`",
        ),
        (
            ("x-chalk-features-versioned", "true, false"),
            "the header `x-chalk-features-versioned` has a value that is not plain",
        ),
        (("x-chalk-branch-id", "a b"), "the header `x-chalk-branch-id` has a value that is not plain"),
        (("x-chalk-branch-id", "\u{e9}"), "the header `x-chalk-branch-id` has a value that is not plain"),
        (("x-chalk-trace-id", &long), "the header `x-chalk-trace-id` has a value that is not plain"),
        (
            ("x-chalk-deployment-type", "offline"),
            "the header `x-chalk-deployment-type` has the value `offline`, which is not known",
        ),
        (("x-chalk-server", "builder"), "the header `x-chalk-server` has the value `builder`, which is not known"),
        (("x-chalk-env-id", "other"), "the environment `other` is not the one that is served here"),
    ];
    for (header, message) in cases {
        assert_eq!(of(&[header], Some("envmock1")).unwrap_err(), message, "{header:?}");
    }
    let latin: [(&str, &[u8]); 1] = [("x-chalk-branch-id", b"\xff")];
    let message = "the header `x-chalk-branch-id` has a value that is not plain";
    assert_eq!(read(latin, None).unwrap_err().0, message);
}

#[test]
fn one_value_each() {
    for name in ["x-chalk-env-id", "x-chalk-client-id", "x-chalk-query-name", "x-chalk-branch-id"] {
        let message = format!("the header `{name}` stands twice");
        assert_eq!(of(&[(name, "e"), ("accept", "*/*"), (name, "e")], Some("e")).unwrap_err(), message);
        assert_eq!(of(&[(name, ""), (name, "")], Some("e")).unwrap_err(), message);
    }
}

#[test]
fn an_environment_is_the_configured_one_or_refused() {
    assert_eq!(environment("prod", Some("prod")), Ok(()));
    let refused = |configured| environment("Prod", configured).unwrap_err().0;
    assert_eq!(refused(Some("prod")), "the environment `Prod` is not the one that is served here");
    assert_eq!(refused(None), "the environment `Prod` is named, and none is configured");
    let none = of(&[("x-chalk-env-id", "envmock1")], None).unwrap_err();
    assert_eq!(none, "the environment `envmock1` is named, and none is configured");
}

/// Whatever chalkpy 2.166.1 calls a header of its own (its `client_headers.py`).
#[test]
fn chalkpy_knows_no_header_that_is_not_in_the_table() {
    let known = [
        "x-chalk-branch-id",
        "x-chalk-client-id",
        "x-chalk-deployment-tag",
        "x-chalk-deployment-type",
        "x-chalk-env-id",
        "x-chalk-features-versioned",
        "x-chalk-preview-deployment",
        "x-chalk-query-name",
        "x-chalk-server",
        "x-chalk-trace-id",
    ];
    let mut table: Vec<_> = TABLE.iter().map(|(name, _)| *name).collect();
    table.sort_unstable();
    assert_eq!(table, known);
    assert!(known.iter().all(|name| is_chalk(name)));
}
