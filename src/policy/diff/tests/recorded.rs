//! Recorded queries, decided again.

use super::*;

fn line(roles: &str, outputs: &str, mode: &str, decision: &str, caller: &str) -> String {
    format!(
        r#"{{"time":"2026-11-0{caller}T00:00:00Z","caller":"c{caller}","roles":{roles},"route":"/x","query":null,"outputs":{outputs},"supplied":[],"reads":[],"mode":"{mode}","decision":"{decision}","refused":[]}}"#
    )
}

#[test]
fn recorded_queries_are_decided_again() {
    let rules = "roles: {a: {tags: {pii: Deny}}, f: {mode: filter, tags: {pii: Deny}}, gone: {}}\nfeatures: {x: {}, y: {tags: [pii]}}\n";
    let (old, new) = (
        load("old", rules, ""),
        load("new", &rules.replace("a: {tags: {pii: Deny}}", "a: {}").replace(", gone: {}", ""), ""),
    );
    let mut log = Log::default();
    let lines = [
        line(r#"["a"]"#, r#"["x","y"]"#, "reject", "refused", "1"),
        line(r#"["a"]"#, r#"["y","x"]"#, "reject", "refused", "2"),
        line(r#"["a"]"#, r#"["x"]"#, "reject", "permitted", "1"),
        line(r#"["f"]"#, r#"["x","y"]"#, "filter", "filtered", "1"),
        line(r#"["gone"]"#, r#"["x"]"#, "reject", "permitted", "1"),
        "not json".to_owned(),
        String::new(),
        line(r#"["f"]"#, r#"["x"]"#, "filter", "filtered", "1"),
    ];
    for (text, number) in lines.iter().zip(1..) {
        log.line(number, text.as_bytes());
    }
    let replayed = log.replay(side(&old), side(&new));
    assert_eq!((replayed.lines, replayed.unreadable, &*replayed.unreadable_lines), (7, 1, &[6][..]));
    assert_eq!((replayed.queries, replayed.differing_from_record), (5, 1));
    let shown: Vec<String> = replayed.changed.iter().map(text::query).collect();
    assert_eq!(
        shown,
        [
            "refused -> permitted: a asks for x, y; returns also x, y; 2 times by 2 callers, last 2026-11-02T00:00:00Z",
            "permitted -> refused: gone asks for x; no longer returns x; 1 times by 1 callers, last 2026-11-01T00:00:00Z",
        ]
    );
    assert_eq!(replayed.changed[0].because, ["y: Deny by rule 7 -> Allow by rule 7"]);
    assert_eq!(replayed.changed[1].because, ["there is no role gone"]);
    assert!(replayed.changed[0].gains() && !replayed.changed[1].gains());
}

#[test]
fn what_is_cut_from_a_filtered_query_is_a_change() {
    let rules = |tag: &str| {
        format!(
            "mode: filter\nroles: {{a: {{tags: {{pii: Deny}}}}}}\nfeatures: {{x: {{}}, y: {{tags: [{tag}]}}}}\nbundles: {{b: [{{feature: x, as: z}}, y]}}\n"
        )
    };
    let (old, new) = (load("old", &rules("ok"), ""), load("new", &rules("pii"), ""));
    let mut log = Log::default();
    log.line(1, line(r#"["a"]"#, r#"["x","y"]"#, "filter", "permitted", "1").as_bytes());
    // A bundle with an alias goes upstream by its name: nothing denied can be taken out.
    log.line(2, line(r#"["a"]"#, r#"["x","y"]"#, "filter", "permitted", "1").replace("null", "\"b\"").as_bytes());
    log.line(3, line(r#"["a"]"#, r#"["x"]"#, "filter", "permitted", "1").replace("null", "\"none\"").as_bytes());
    let replayed = log.replay(side(&old), side(&new));
    let words: Vec<_> = replayed.changed.iter().map(|c| (c.query.as_deref(), c.old, c.new, c.lost.join(","))).collect();
    assert_eq!(
        words,
        [(None, "permitted", "filtered", "y".to_owned()), (Some("b"), "permitted", "refused", "x,y".to_owned()),]
    );
    assert_eq!(replayed.differing_from_record, 1, "there is no bundle `none`");
}
