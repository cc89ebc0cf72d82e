//! Attacks on where and how a token is sent.

use super::{INVALID, MISSING, Target};
use crate::support::client::{H2, request};
use crate::support::sidecar::{FINE, reader};

fn post(headers: &str) -> Vec<u8> {
    request("POST", "/get-online-features", &format!("{headers}content-type: application/json\r\n"), FINE)
}

#[tokio::test]
async fn white_space_in_authorization() {
    let target = Target::new().await;
    let token = reader();
    for value in [
        format!("Bearer  {token}"),
        format!("Bearer\t{token}"),
        format!("Bearer \t{token}"),
        format!("Bearer\t {token}"),
        format!("Bearer   {token}"),
        format!("Bearer{token}"),
        format!("Bearer {token} x"),
        format!("Bearer {token}\tx"),
        format!("Bearer Bearer {token}"),
        format!("Bearer: {token}"),
        format!("Bearer,{token}"),
        format!("Bearer={token}"),
        format!("Bearer \"{token}\""),
        format!("Bearer token={token}"),
        format!("Bearer {token}, Bearer {token}"),
        format!("Bearer {token}, Basic dTpw"),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        "Bearer =".to_owned(),
    ] {
        let answer = target.sidecar.ask(post(&format!("authorization: {value}\r\n"))).await;
        // `Bearerey…` is the name of another scheme: no token was sent.
        let body = if value.starts_with("Bearerey") { MISSING } else { INVALID };
        target.turned_away(&value, &answer, body);
    }
    // A line that goes on in the next (RFC 9112, 5.2), and a name with a space: no request of HTTP's.
    for headers in [format!("authorization: Bearer\r\n {token}\r\n"), format!("authorization : Bearer {token}\r\n")] {
        assert_eq!(target.sidecar.ask(post(&headers)).await.status, 400, "{headers}");
    }
    assert_eq!(target.upstream.count(), 0);
    target.still_serves().await;
}

#[tokio::test]
async fn the_scheme_in_any_case_is_the_same_scheme() {
    let target = Target::new().await;
    let token = reader();
    for scheme in ["bearer", "BEARER", "bEaReR", "Bearer"] {
        target.accepts_request(scheme, &post(&format!("authorization: {scheme} {token}\r\n"))).await;
        target.accepts_request(scheme, &post(&format!("AUTHORIZATION: {scheme} {token}\r\n"))).await;
    }
    for scheme in ["Basic", "Token", "JWT", "DPoP", "Bear", "BearerX", "MAC", "\u{212a}ey"] {
        let answer = target.sidecar.ask(post(&format!("authorization: {scheme} {token}\r\n"))).await;
        target.turned_away(scheme, &answer, if scheme.is_ascii() { MISSING } else { INVALID });
    }
}

#[tokio::test]
async fn two_authorization_headers() {
    let target = Target::new().await;
    let good = format!("authorization: Bearer {}\r\n", reader());
    for other in [
        good.as_str(),
        "authorization: Bearer nonsense\r\n",
        "Authorization: Basic dTpw\r\n",
        "AUTHORIZATION:\r\n",
        "x-api-key: tw_k1_x\r\n",
    ] {
        target.refuses_request(other, &post(&format!("{good}{other}"))).await;
        target.refuses_request(other, &post(&format!("{other}{good}"))).await;
        target.refuses_request(other, &post(&format!("{good}x-between: 1\r\n{other}"))).await;
    }
    let h2 = H2::connect(target.sidecar.data).await;
    let bearer = format!("Bearer {}", reader());
    for other in [bearer.as_str(), "Basic dTpw", ""] {
        let headers =
            [("authorization", bearer.as_str()), ("authorization", other), ("content-type", "application/json")];
        let answer = h2.send("POST", "/get-online-features", &headers, FINE).await;
        target.turned_away(other, &answer, INVALID);
    }
    target.still_serves().await;
}

#[tokio::test]
async fn a_token_in_the_query_the_body_or_another_header() {
    let target = Target::new().await;
    let token = reader();
    for name in ["access_token", "token", "jwt", "authorization", "Authorization", "id_token"] {
        for path in
            [format!("/get-online-features?{name}={token}"), format!("/get-online-features?{name}=Bearer%20{token}")]
        {
            let answer = target.sidecar.ask(request("POST", &path, "content-type: application/json\r\n", FINE)).await;
            target.turned_away(&path, &answer, MISSING);
        }
        let header = format!("cookie: {name}={token}\r\n");
        target.turned_away(&header, &target.sidecar.ask(post(&header)).await, MISSING);
    }
    for name in [
        "proxy-authorization",
        "x-authorization",
        "x-forwarded-authorization",
        "x-access-token",
        "x-auth-token",
        "x-original-authorization",
        "authorization2",
        "x-forwarded-access-token",
        "authorization_",
    ] {
        let header = format!("{name}: Bearer {token}\r\n");
        target.turned_away(name, &target.sidecar.ask(post(&header)).await, MISSING);
    }
    let form = format!("access_token={token}");
    let in_form = request("POST", "/get-online-features", "content-type: application/x-www-form-urlencoded\r\n", form);
    target.turned_away("a form", &target.sidecar.ask(in_form).await, MISSING);
    let in_json = FINE.replacen('{', &format!("{{\"access_token\":\"{token}\","), 1);
    let in_json = request("POST", "/get-online-features", "content-type: application/json\r\n", in_json);
    target.turned_away("JSON", &target.sidecar.ask(in_json).await, MISSING);
    target.still_serves().await;
}
