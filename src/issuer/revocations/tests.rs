use super::*;

fn token(jti: &str, until: u64) -> Revocation {
    Revocation::Token { jti: jti.to_owned(), until }
}

fn family(id: &str, until: u64) -> Revocation {
    Revocation::Family { id: id.to_owned(), until }
}

fn client(id: &str, issued_before: u64, until: u64) -> Revocation {
    Revocation::Client { id: id.to_owned(), issued_before, until }
}

#[test]
fn each_kind_ends_its_own() {
    let all = Revocations::local();
    all.add([token("t", 900), family("f", 900), client("c", 100, 900)]);
    let cases = [
        ("t", None, "x", 500, true),
        ("f", None, "x", 500, false),
        ("c", None, "x", 50, false),
        ("x", Some("f"), "x", 500, true),
        ("x", Some("t"), "x", 500, false),
        ("x", Some("x"), "x", 500, false),
        ("x", None, "c", 99, true),
        ("x", None, "c", 100, false),
        ("x", None, "t", 99, false),
    ];
    for (jti, family, client, iat, expected) in cases {
        assert_eq!(all.ended(jti, family, client, iat), expected, "{jti} {family:?} {client} {iat}");
    }
}

#[test]
fn the_order_and_repeats_change_nothing() {
    let entries = [client("c", 100, 500), client("c", 90, 900), client("c", 100, 500), token("t", 5), token("t", 4)];
    let sorted = |all: &Revocations| {
        let mut all: Vec<String> = all.all().iter().map(|one| format!("{one:?}")).collect();
        all.sort();
        all
    };
    let (forward, backward, singly) = (Revocations::local(), Revocations::local(), Revocations::local());
    forward.add(entries.clone());
    backward.add(entries.iter().rev().cloned());
    entries.into_iter().for_each(|entry| singly.add([entry]));
    let expected = [format!("{:?}", client("c", 100, 900)), format!("{:?}", token("t", 5))];
    for all in [forward, backward, singly] {
        assert_eq!(sorted(&all), expected);
    }
}

#[tokio::test]
async fn an_entry_goes_when_its_tokens_have_expired_and_the_leeway_is_over() {
    let all = Revocations::local();
    all.add((0..5000).map(|number| token(&format!("t{number}"), 1000 + number % 2)));
    all.add([client("c", 100, 1000), family("f", 1000)]);
    all.sweep(1000 + KEPT - 1).await;
    assert_eq!(all.all().len(), 5002);
    all.sweep(1000 + KEPT).await;
    assert_eq!(all.all().len(), 2500);
    assert!(all.ended("t1", None, "x", 1) && !all.ended("t2", None, "x", 1));
    assert!(!all.ended("x", Some("f"), "c", 1));
    all.add([token("forever", u64::MAX)]);
    all.sweep(u64::MAX - 1).await;
    assert_eq!(all.all(), [token("forever", u64::MAX)]);
}

#[test]
fn nothing_is_lost_between_threads() {
    let all = Revocations::local();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let all = &all;
            scope.spawn(move || {
                for number in 0..2000 {
                    let jti = format!("{thread} {number}");
                    all.add([token(&jti, 900)]);
                    assert!(all.ended(&jti, None, "c", 1));
                }
            });
        }
    });
    assert_eq!(all.all().len(), 8000);
}

#[test]
fn silence_is_counted_from_the_last_word() {
    assert_eq!(Revocations::local().silence(), Duration::ZERO);
    let mut remote = Revocations::remote();
    assert_eq!(remote.silence(), Duration::MAX);
    remote.hear();
    assert!(remote.silence() < Duration::from_secs(30));
    let Some(started) = remote.started.checked_sub(Duration::from_secs(100)) else {
        panic!("the machine started just now")
    };
    remote.started = started;
    assert!(remote.silence() >= Duration::from_secs(100));
    remote.hear();
    assert!(remote.silence() < Duration::from_secs(30));
}
