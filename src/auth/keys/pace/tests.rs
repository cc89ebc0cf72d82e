use super::*;
use hyper::header::HeaderValue;

fn fresh(values: &[&'static str]) -> u64 {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(CACHE_CONTROL, HeaderValue::from_static(value));
    }
    freshness(&headers).as_secs()
}

#[test]
fn a_set_is_fresh_for_max_age_within_bounds() {
    for (values, seconds) in [
        (&[][..], 300),
        (&["no-store"], 300),
        (&["public"], 300),
        (&["max-age=600"], 600),
        (&["public, Max-Age=600, must-revalidate"], 600),
        (&["public", "max-age=\"600\""], 600),
        (&["max-age = 600"], 600),
        (&["s-maxage=900"], 300),
        (&["max-age=0"], 60),
        (&["max-age=59"], 60),
        (&["max-age=3601"], 3600),
        (&["max-age=99999999999"], 3600),
        (&["max-age=-1"], 300),
        (&["max-age=soon"], 300),
        (&["max-age=99999999999999999999999"], 300),
    ] {
        assert_eq!(fresh(values), seconds, "{values:?}");
    }
}

#[test]
fn a_set_is_fetched_again_before_it_is_due() {
    let fresh = Duration::from_secs(300);
    assert_eq!(after_success(fresh, 0), Duration::from_secs(240));
    assert_eq!(after_success(fresh, 255), Duration::from_secs(285));
}

#[test]
fn failures_are_spaced_out_up_to_a_minute() {
    let pace = Pace::default();
    let pauses = [1, 2, 3, 4, 5, 6, 7, 8, 40, u32::MAX];
    let longest = pauses.map(|failures| after_failure(&pace, failures, 255).as_secs());
    assert_eq!(longest, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
    let shortest = pauses.map(|failures| after_failure(&pace, failures, 0).as_millis());
    assert_eq!(shortest, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000, 30000]);
}

#[test]
fn the_pace_is_that_of_the_product() {
    let pace = Pace::default();
    let seconds = [pace.deadline, pace.floor, pace.unknown].map(|pause| pause.as_secs());
    assert_eq!(seconds, [5, 10, 60]);
}
