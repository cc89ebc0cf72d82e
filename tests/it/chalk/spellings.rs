//! The spellings of outputs and inputs (wire-chalk.md, section 4), each at every door.

use super::ask::{Door, ask};
use super::cases::{Both, Want::Refused, Want::Sent};
use super::went::went;

#[tokio::test]
async fn section_4_what_chalkpy_writes_is_understood() {
    let both = Both::start().await;
    for name in ["user.name", "user.identity.is_voip_phone", "user.count__3600__", "user.avg"] {
        both.case("readers", ask(&[name]), Sent(&[name], &[name])).await;
    }
    // With the header that chalkpy sends it is the first version; a call cannot say so, and means both.
    let first = ask(&["user.score"]);
    both.case_at(&Door::VERSIONED, "readers", first.clone(), Sent(&["user.score"], &["user.score"])).await;
    for door in Door::ALL.into_iter().filter(|door| !Door::VERSIONED.contains(door)) {
        both.case_at(&[door], "readers", first.clone(), Refused(&["user.score"])).await;
    }
    let rows = "user.transactions[transaction.id,transaction.name]";
    let columns = "user.transactions<transaction.id transaction.name>";
    both.case("readers", ask(&[rows]), Sent(&[rows], &[columns])).await;
    // The same twice is the same.
    both.case("readers", ask(&["user.name", "user.name"]), Sent(&["user.name"], &["user.name"])).await;
    let split = ["user.transactions[transaction.id]", "user.transactions[transaction.name]"];
    both.case("readers", ask(&split), Sent(&[rows], &[columns])).await;
}

#[tokio::test]
async fn section_4_each_spelling_of_what_is_restricted_is_refused() {
    let both = Both::start().await;
    for name in [
        "user.ssn",
        "user.secret",
        "user.copy",
        "user.count__86400__",
        "user.score@2",
        "user.identity.imei",
        "user.identity",
        "user.transactions[transaction.amount]",
        "user.transactions[transaction.id,transaction.amount]",
        "transaction.amount",
        "identity.imei",
    ] {
        both.case("readers", ask(&[name]), Refused(&[name])).await;
        both.case("readers", ask(&["user.name", name]), Refused(&[name])).await;
    }
    both.case("readers", ask(&["user.ssn", "user.name", "user.secret"]), Refused(&["user.ssn", "user.secret"])).await;
    let part = "user.transactions[transaction.id,transaction.amount]";
    let left = Sent(&["user.transactions[transaction.id]"], &["user.transactions<transaction.id>"]);
    both.case("cutters", ask(&[part]), left).await;
}

/// What chalkpy's own resolver of names takes, and servers may.
#[tokio::test]
async fn section_4_what_is_not_canonical_is_refused() {
    let both = Both::start().await;
    for name in [
        "USER.NAME",
        "User.name",
        "user.Name",
        " user.name",
        "user.name ",
        "user .name",
        "user.name\n",
        "user..name",
        ".user.name",
        "user.name.",
        "user:name",
        "user.count_1h",
        "user.count__1h__",
        "user.count_24h",
        "user.count[\"1h\"]",
        "user.count",
        "user.count__all__",
        "user.name@1",
        "user.score@1",
        "user.score@02",
        "user.score@3",
        "user.transactions.id",
        "user.transactions.amount",
        "user.transactions[id]",
        "user.transactions[]",
        "user.transactions[transaction.id, transaction.name]",
        "user.transactions[transaction.id",
        "user.transactions[transaction.id]x",
        "user.transactions[identity.id]",
        "user.identity[identity.id]",
        "user.name[x]",
        "get_score",
        "now",
        "index",
        "__id__",
        "__distance__",
        "CHALK_TS",
        "__observed_at__",
        "__replaced_observed_at__",
        "__chalk__.now",
        "user.__chalk_observed_at__",
        "user.__id__",
        "user.*",
        "*",
        "",
        "us\u{435}r.name",
    ] {
        both.case("readers", ask(&[name]), Refused(&[name])).await;
    }
}

/// Without the header a bare name may be the default version.
#[tokio::test]
async fn section_4_the_default_version_is_no_way_round() {
    let both = Both::start().await;
    for door in Door::ALL {
        for headers in [&[][..], &[("x-chalk-features-versioned", "false")]] {
            let got = door.ask_with(&both.sidecar, "readers", headers, &[ask(&["user.score"])]).await;
            both.check(door, &got, Refused(&["user.score"]), "unversioned");
        }
        // It is sent on as it was said, so that it means there what it meant here.
        let got = door.ask_with(&both.sidecar, "all", &[], &[ask(&["user.score"])]).await;
        assert!(got.text().contains("CANARY user.score"), "{door:?}: {}", got.text());
        assert_eq!(both.chalk.only().header("x-chalk-features-versioned"), None);
        door.ask(&both.sidecar, "all", &ask(&["user.score"])).await;
        assert_eq!(both.chalk.only().header("x-chalk-features-versioned"), Some("true"));
    }
}

#[tokio::test]
async fn section_4_inputs_are_supplied_under_their_own_names_alone() {
    let both = Both::start().await;
    for name in ["USER.ID", "user.Id", "user.ID ", "user.nothing", "__id__", "user.score@1"] {
        both.case("readers", ask(&["user.name"]).input(name, Some("1")), Refused(&[name])).await;
        both.case("cutters", ask(&["user.name"]).input(name, Some("1")), Refused(&[name])).await;
        // A null is nothing, and stays here.
        for door in Door::ALL {
            let got = door.ask(&both.sidecar, "readers", &ask(&["user.name"]).input(name, None)).await;
            assert_eq!(got.fine().fields, ["user.name"], "{door:?} {name}");
            got.shows_nothing();
            assert_eq!(went(&both.chalk.only()).remove(0).inputs, ["user.id"], "{door:?} {name}");
        }
    }
    // What is denied may not be given; what is internal may, and is no output by that.
    both.case("readers", ask(&["user.name"]).input("user.secret", Some("1")), Refused(&["user.secret"])).await;
    both.case("readers", ask(&["user.ssn"]).input("user.ssn", Some("1")), Refused(&["user.ssn"])).await;
    for door in Door::ALL {
        let query = ask(&["user.name"]).input("user.ssn", Some("given"));
        let got = door.ask(&both.sidecar, "readers", &query).await;
        assert_eq!(got.fine().fields, ["user.name"], "{door:?}");
        got.shows_nothing();
        let mut inputs = went(&both.chalk.only()).remove(0).inputs;
        inputs.sort();
        assert_eq!(inputs, ["user.id", "user.ssn"]);
        // A null supplies nothing: what is derived stays what it is.
        let query = ask(&["user.copy"]).input("user.secret", None);
        let got = door.ask(&both.sidecar, "readers", &query).await;
        both.check(door, &got, Refused(&["user.copy"]), "a null");
    }
}
