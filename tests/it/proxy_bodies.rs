//! Bodies that a feature server would read in another way than we do (wire-feast.md, What the request parser accepts).

use crate::support::client::{query, request};
use crate::support::sidecar::{FINE, FINE_UPSTREAM, Setup, Sidecar, reader};
use crate::support::upstream::Upstream;

fn post(headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    request("POST", "/get-online-features", &format!("authorization: Bearer {}\r\n{headers}", reader()), body)
}

#[tokio::test]
async fn only_json_that_says_so_once_is_read() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    for fine in [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "application/json; charset=\"utf-8\"",
        "application/vnd.feast+json",
    ] {
        let answer = sidecar.ask(post(&format!("content-type: {fine}\r\n"), FINE)).await;
        assert_eq!(answer.status, 200, "{fine}: {answer:?}");
    }
    assert!(upstream.seen().iter().all(|got| got.header("content-type").as_deref() == Some("application/json")));
    let before = upstream.count();
    for wrong in [
        "",
        "content-type: text/plain\r\n",
        "content-type: application/jsonx\r\n",
        "content-type: text/json\r\n",
        "content-type: application/x-www-form-urlencoded\r\n",
        "content-type: application/json; charset=utf-16\r\n",
        "content-type: application/json; charset=utf-7\r\n",
        "content-type: application/json; charset=iso-8859-1\r\n",
        "content-type: application/json\r\ncontent-type: application/json\r\n",
        "content-type: application/json\r\ncontent-type: text/plain\r\n",
        "content-type: text/plain\r\ncontent-type: application/json\r\n",
        "content-type: text/plain, application/json\r\n",
    ] {
        let message = sidecar.ask(post(wrong, FINE)).await.fails(415, "UNSUPPORTED");
        assert_eq!(message, "The request body must have the Content-Type application/json", "{wrong}");
    }
    assert_eq!(upstream.count(), before);
}

#[tokio::test]
async fn an_encoded_body_is_not_read_whether_it_is_encoded_or_not() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with("routes: [{path: /v1/items, methods: [POST]}]").start().await;
    for encoding in ["gzip", "deflate", "br", "zstd", "x-gzip", "gzip, identity", "identity, gzip", "nonsense"] {
        let headers = format!("content-type: application/json\r\ncontent-encoding: {encoding}\r\n");
        let message = sidecar.ask(post(&headers, FINE)).await.fails(415, "UNSUPPORTED");
        assert_eq!(message, "A request body with a Content-Encoding is not read", "{encoding}");
        let bearer = format!("authorization: Bearer {}\r\n{headers}", reader());
        sidecar.ask(request("POST", "/v1/items", &bearer, "{}")).await.fails(415, "UNSUPPORTED");
    }
    let two = "content-type: application/json\r\ncontent-encoding: identity\r\ncontent-encoding: gzip\r\n";
    sidecar.ask(post(two, FINE)).await.fails(415, "UNSUPPORTED");
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_body_that_could_mean_two_things_is_refused_and_named() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let entities = r#""entities":{"customer_id":[1]}"#;
    let utf16: Vec<u8> = FINE.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let deep = format!(r#"{{"x":{}{}, "features":["customer:age"],{entities}}}"#, "[".repeat(5000), "]".repeat(5000));
    let bad: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", b"".to_vec()),
        ("a byte order mark", [b"\xef\xbb\xbf", FINE.as_bytes()].concat()),
        ("utf-16", utf16.clone()),
        ("utf-16 with its mark", [b"\xff\xfe".to_vec(), utf16].concat()),
        ("not utf-8", [FINE.as_bytes(), b"\xff"].concat()),
        (
            "bytes that are no utf-8 in a name",
            [br#"{"features":["customer:"#.as_slice(), b"\xff\"],", entities.as_bytes(), b"}"].concat(),
        ),
        ("a key twice", format!(r#"{{"features":["customer:age"],"features":["customer:ssn"],{entities}}}"#).into()),
        (
            "a key twice, escaped",
            format!(r#"{{"features":["customer:age"],"feature\u0073":["customer:ssn"],{entities}}}"#).into(),
        ),
        (
            "an entity twice",
            br#"{"features":["customer:age"],"entities":{"customer_id":[1],"customer\u005fid":[2]}}"#.to_vec(),
        ),
        ("entities twice", format!(r#"{{"features":["customer:age"],{entities},{entities}}}"#).into()),
        ("an unknown key twice", format!(r#"{{"x":1,"x":2,"features":["customer:age"],{entities}}}"#).into()),
        ("more behind it", format!("{FINE}{FINE}").into()),
        ("a list", format!("[{FINE}]").into()),
        ("a text", br#""customer:age""#.to_vec()),
        ("not a number", FINE.replace("1,2", "NaN,2").into()),
        ("infinity", FINE.replace("1,2", "Infinity,2").into()),
        ("single quotes", FINE.replace('"', "'").into()),
        ("a comma too many", FINE.replace("1,2]", "1,2,]").into()),
        ("a comment", FINE.replace("{\"f", "/**/{\"f").into()),
        ("a control character", FINE.replace("customer:age", "customer:a\nge").into()),
        ("a lone surrogate", FINE.replace("customer:age", "customer:\\ud800").into()),
        ("too deep", deep.into()),
        ("yes for true", FINE.replace(r#","entities""#, r#","full_feature_names":"yes","entities""#).into()),
        ("1 for true", FINE.replace(r#","entities""#, r#","full_feature_names":1,"entities""#).into()),
        ("a feature that is a number", FINE.replace(r#""customer:age""#, "1").into()),
        ("features as a text", format!(r#"{{"features":"customer:age",{entities}}}"#).into()),
        ("a bare feature", FINE.replace("customer:age", "age").into()),
        ("a full name for a reference", FINE.replace("customer:age", "customer__age").into()),
        ("a space in a name", FINE.replace("customer:age", "customer:age ").into()),
        ("no feature", FINE.replace("customer:age", "customer:").into()),
        ("no view", FINE.replace("customer:age", ":age").into()),
        ("no outputs", format!("{{{entities}}}").into()),
        ("no entities", br#"{"features":["customer:age"]}"#.to_vec()),
        ("empty entities", br#"{"features":["customer:age"],"entities":{}}"#.to_vec()),
        ("no rows", FINE.replace("[1,2]", "[]").into()),
        ("a null for a key", FINE.replace("[1,2]", "[1,null]").into()),
        ("another key", FINE.replace("customer_id", "driver_id").into()),
        ("ragged rows", FINE.replace("[1,2]", r#"[1,2],"basket_total":[1]"#).into()),
        ("a value for a list", FINE.replace("[1,2]", "1").into()),
        ("a service that is no text", format!(r#"{{"feature_service":["open_service"],{entities}}}"#).into()),
    ];
    let token = reader();
    for (what, body) in bad {
        let answer = sidecar.ask(query(&token, &body)).await;
        assert_eq!(answer.status, 400, "{what}: {answer:?}");
        let message = answer.fails(400, "INVALID_QUERY");
        assert!(!message.is_empty() && !message.contains('\n') && message.len() < 400, "{what}: {message}");
        assert_eq!(upstream.count(), 0, "{what}");
    }
}

#[tokio::test]
async fn values_keep_their_text_in_both_directions() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let values = r#"9007199254740995,-0.0,1e400,1.790000000000000E+308,"a\u00e9\ud83d\ude00\/",true,[ 1,{"k" : 2} ]"#;
    let body = format!(r#"{{"features":["customer:age"],"entities":{{"customer_id":[{values}]}}}}"#);
    let asked = query(&reader(), &body);
    let columns = r#"{"statuses":["PRESENT"],"values":[9007199254740995, 1e400 ,"\u00e9"]}"#;
    let answered = format!(
        r#"{{"results":[{columns},{columns}],"metadata":{{"feature_names":["customer_id","customer__age"]}},"status":true}}"#
    );
    upstream.turns_to(crate::support::upstream::Act::json("200 OK", answered));
    let answer = sidecar.ask(asked).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let sent =
        format!(r#"{{"features":["customer:age"],"entities":{{"customer_id":[{values}]}},"full_feature_names":true}}"#);
    assert_eq!(upstream.only().text(), sent);
    let expected = format!(
        r#"{{"results":[{columns},{columns}],"metadata":{{"feature_names":["customer_id","age"]}},"status":true}}"#
    );
    assert_eq!(answer.text(), expected);
}

#[tokio::test]
async fn a_chunked_body_goes_upstream_with_a_length() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let mut raw = sidecar.raw().await;
    let head = format!(
        "POST /get-online-features HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\ntrailer: authorization\r\n\r\n",
        reader()
    );
    raw.send(head).await;
    for piece in FINE.as_bytes().chunks(7) {
        raw.send(format!("{:x};ext=\"1\"\r\n", piece.len())).await;
        raw.send([piece, b"\r\n"].concat()).await;
    }
    raw.send("0\r\nauthorization: Bearer other\r\nx-forwarded-user: admin\r\n\r\n").await;
    assert_eq!(raw.answer().await.status, 200);
    let got = upstream.only();
    assert_eq!((got.text(), got.header("content-length")), (FINE_UPSTREAM, Some(FINE_UPSTREAM.len().to_string())));
    assert!(!got.head.contains("admin") && got.header("authorization").is_none());
    // The connection goes on.
    assert_eq!(raw.ask(query(&reader(), FINE)).await.status, 200);
}

#[tokio::test]
async fn a_refusal_before_the_body_waits_for_the_rest_of_it() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with("limits: {request_body: 1MiB, body_timeout: 20s}").start().await;
    let large = "x".repeat(1 << 20);
    let head = |path: &str, length: usize| {
        format!("POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer old\r\ncontent-length: {length}\r\n\r\n")
    };
    for (path, status) in [("/get-online-features", 401), ("/nowhere", 404)] {
        let mut raw = sidecar.raw().await;
        // As chalkpy and others do it: the head, and then the body. The answer does not wait for that.
        assert_eq!(raw.ask(head(path, large.len())).await.status, status);
        for part in large.as_bytes().chunks(100_000) {
            assert!(raw.send(part).await, "{path}");
        }
        assert_eq!(raw.ask(query(&reader(), FINE)).await.status, 200, "{path}");
        // More than could be meant is not waited for.
        assert_eq!(raw.ask(head(path, large.len() + 1)).await.status, status);
        raw.end().await;
    }
    // Nobody who waits for `100 Continue` is asked for a body that is not wanted.
    let mut raw = sidecar.raw().await;
    let waits = head("/nowhere", 5).replace("content-length", "expect: 100-continue\r\ncontent-length");
    raw.send(waits).await;
    assert!(String::from_utf8(raw.end().await).unwrap().starts_with("HTTP/1.1 404 "));
}
