use rcgen::string::Ia5String;
use rcgen::{CertificateParams, CustomExtension, DnType, DnValue, KeyPair, SanType, date_time_ymd};
use serde_json::json;

use super::*;
use crate::auth::tests::support;
use crate::auth::verify::NO_PROOF;
use crate::auth::{Memo, issuer_of, subject_of};

fn params(names: Vec<SanType>, common: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names = names;
    params.distinguished_name = rcgen::DistinguishedName::new();
    for name in common {
        params.distinguished_name.push(DnType::CommonName, *name);
    }
    (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2026, 2, 1));
    params
}

fn der(params: &CertificateParams) -> Vec<u8> {
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

fn ia5(text: &str) -> Ia5String {
    Ia5String::try_from(text).unwrap()
}

/// Seconds of 2026-01-15.
const WITHIN: u64 = 1_768_435_200;
/// Seconds of 2026-01-01 and 2026-02-01, when the certificates here begin and end.
const LIFE: (u64, u64) = (1_767_225_600, 1_769_904_000);

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// The claims of the caller that it is; `None` where it is none.
fn claims(params: &CertificateParams) -> Option<Value> {
    let read = PeerCertificate::read(&der(params)).unwrap();
    let mut map = read.caller(&HeaderMap::new(), at(WITHIN))?.claims().into_owned();
    let thumbprint = map.remove("cert.x5t#S256").unwrap();
    assert_eq!(thumbprint.as_str().unwrap().len(), 43);
    Some(Value::Object(map))
}

#[test]
fn names_become_claims_as_they_are() {
    let names = vec![
        SanType::DnsName(ia5("Scoring.example")),
        SanType::DnsName(ia5("*.scoring.example")),
        SanType::Rfc822Name(ia5("ops@example.org")),
        SanType::URI(ia5("spiffe://prod.example/ns/ml/sa/Scoring%20x")),
        SanType::IpAddress("10.0.0.1".parse().unwrap()),
        SanType::IpAddress("2001:db8::1".parse().unwrap()),
        SanType::OtherName((vec![1, 3, 6, 1, 4, 1, 311, 20, 2, 3], rcgen::OtherNameValue::Utf8String("upn".into()))),
    ];
    let expected = json!({"cert.cn": "fraud scoring é", "cert.san": [
        "Scoring.example", "*.scoring.example", "ops@example.org", "spiffe://prod.example/ns/ml/sa/Scoring%20x",
        "10.0.0.1", "2001:db8::1",
    ]});
    assert_eq!(claims(&params(names, &["fraud scoring é"])), Some(expected));
    assert_eq!(claims(&params(vec![], &[])), Some(json!({})));
}

#[test]
fn of_two_common_names_there_is_none() {
    // rcgen holds one of each kind: a subject of two, by hand in the place of one of the same length.
    let two = [
        &[0x31, 0x0a, 0x30, 0x08, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0c, 0x01, b'a'][..],
        &[0x31, 0x0a, 0x30, 0x08, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0c, 0x01, b'b'],
    ]
    .concat();
    let one = "x".repeat(two.len() - 11);
    let length = u8::try_from(one.len()).unwrap();
    let single =
        [&[0x31, length + 9, 0x30, length + 7, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0c, length][..], one.as_bytes()]
            .concat();
    let mut bytes = der(&params(vec![], &[&one]));
    let mut found = 0;
    while let Some(place) = bytes.windows(single.len()).position(|window| window == single) {
        bytes.splice(place..place + single.len(), two.iter().copied());
        found += 1;
    }
    assert_eq!(found, 2, "issuer and subject");
    let read = PeerCertificate::read(&bytes).unwrap();
    let caller = read.caller(&HeaderMap::new(), at(WITHIN)).unwrap();
    assert_eq!(caller.claims().keys().collect::<Vec<_>>(), ["cert.x5t#S256"]);
}

#[test]
fn one_name_that_cannot_be_read_makes_the_certificate_no_caller() {
    let good = || SanType::DnsName(ia5("good.example"));
    for bad in [
        SanType::DnsName(ia5("a.example\0.b.example")),
        SanType::DnsName(ia5("")),
        SanType::DnsName(ia5("10.0.0.1")),
        SanType::DnsName(ia5("spiffe://prod.example/a")),
        SanType::DnsName(ia5("ops@example.org")),
        SanType::DnsName(ia5("a b")),
        SanType::Rfc822Name(ia5("ops@example.org\n")),
        SanType::Rfc822Name(ia5("a.example")),
        SanType::Rfc822Name(ia5("spiffe://x/@b")),
        SanType::Rfc822Name(ia5("a@b@c")),
        SanType::URI(ia5("spiffe://a\r\n/b")),
        SanType::URI(ia5("good.example")),
        SanType::URI(ia5("ops@example.org")),
        SanType::URI(ia5("fe80::1")),
        SanType::URI(ia5("spiffe://a\u{7f}")),
    ] {
        assert_eq!(claims(&params(vec![good(), bad.clone()], &["cn"])), None, "{bad:?}");
    }
    assert!(claims(&params(vec![good()], &["cn"])).is_some());
    for common in ["a\0b", "", "a\u{85}b", "a\nb"] {
        assert_eq!(claims(&params(vec![good()], &[common])), None, "{common:?}");
    }
    let mut bytes = params(vec![good()], &[]);
    bytes.distinguished_name.push(DnType::CommonName, DnValue::PrintableString("plain".try_into().unwrap()));
    assert_eq!(claims(&bytes).unwrap()["cert.cn"], "plain");
    // An address of 5 bytes; an extension that is no list of names; the extension twice.
    let oid = &[2, 5, 29, 17];
    for contents in [&[&[0x30, 0x07, 0x87, 0x05, 1, 2, 3, 4, 5][..]][..], &[b"none"], &[b"\x30\x00", b"\x30\x00"]] {
        let mut odd = params(vec![], &["cn"]);
        for content in contents {
            odd.custom_extensions.push(CustomExtension::from_oid_content(oid, content.to_vec()));
        }
        assert_eq!(claims(&odd), None, "{contents:?}");
    }
    assert!(PeerCertificate::read(b"no certificate").is_none());
    let whole = der(&params(vec![good()], &["cn"]));
    for end in 0..whole.len() {
        assert!(PeerCertificate::read(&whole[..end]).is_none(), "{end}");
    }
    assert!(PeerCertificate::read(&[&whole[..], b"\0"].concat()).is_none());
}

#[test]
fn it_is_a_caller_within_its_validity_and_beside_no_credential() {
    let read = PeerCertificate::read(&der(&params(vec![], &["cn"]))).unwrap();
    let none = HeaderMap::new();
    let (begins, ends) = LIFE;
    for (seconds, good) in [(0, false), (begins - 1, false), (begins, true), (ends, true), (ends + 1, false)] {
        assert_eq!(read.caller(&none, at(seconds)).is_some(), good, "{seconds}");
        assert_eq!(read.is(&read.thumbprint, Duration::from_secs(seconds)), good, "{seconds}");
    }
    for (name, value) in [("authorization", "Bearer x"), ("authorization", "Basic eDp5"), ("x-api-key", "")] {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        assert!(read.caller(&headers, at(WITHIN)).is_none(), "{name}: {value}");
    }
    let caller = read.caller(&none, at(WITHIN)).unwrap();
    let claims = caller.claims();
    let thumbprint = URL_SAFE_NO_PAD.encode(read.thumbprint);
    assert_eq!((issuer_of(&claims), subject_of(&claims)), ("certificate", Some(thumbprint.as_str())));
    // The memo belongs to the connection.
    let memo = |roles: [u16; 1]| Memo { generation: 3, roles: Arc::from(roles), shadow: None, audit: "".into() };
    let made = |role: u16| read.caller(&none, at(WITHIN)).unwrap().caller(3, |_| memo([role])).memo().roles.to_vec();
    assert_eq!((made(1), made(2)), (vec![1], vec![1]));
    assert_eq!(format!("{read:?}"), "PeerCertificate { .. }");
}

#[test]
fn a_certificate_is_itself_and_no_other() {
    let bytes = der(&params(vec![], &["cn"]));
    let read = PeerCertificate::read(&bytes).unwrap();
    let now = Duration::from_secs(WITHIN);
    let own = <Thumbprint>::try_from(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes).as_ref()).unwrap();
    assert!(read.is(&own, now));
    for byte in 0..own.len() {
        let mut other = own;
        other[byte] ^= 1;
        assert!(!read.is(&other, now), "{byte}");
    }
}

#[test]
fn a_confirmation_is_one_thumbprint_and_nothing_else() {
    let text = URL_SAFE_NO_PAD.encode([7; 32]);
    assert_eq!(confirmed(&json!({"x5t#S256": text})), Some([7; 32]));
    for wrong in [
        json!({}),
        json!(null),
        json!(text),
        json!([text]),
        json!({"x5t#S256": [text]}),
        json!({"x5t#S256": text, "jkt": text}),
        json!({"x5t#S256": text, "x": null}),
        json!({ "x5t#s256": text }),
        json!({ "x5t": text }),
        json!({ "jkt": text }),
        json!({"jwk": {}}),
        json!({"x5t#S256": format!("{text}=")}),
        json!({"x5t#S256": URL_SAFE_NO_PAD.encode([7; 31])}),
        json!({"x5t#S256": URL_SAFE_NO_PAD.encode([7; 33])}),
        json!({"x5t#S256": "07".repeat(32)}),
        json!({"x5t#S256": ""}),
        json!({"x5t#S256": null}),
    ] {
        assert_eq!(confirmed(&wrong), None, "{wrong}");
    }
}

#[tokio::test]
async fn a_known_token_that_is_bound_is_held_against_the_connection_each_time() {
    let own = PeerCertificate::read(&der(&params(vec![], &["own"]))).unwrap();
    let another = PeerCertificate::read(&der(&params(vec![], &["another"]))).unwrap();
    let auth = support::auth(support::usual());
    let life = json!({"exp": LIFE.1 + 1000, "cnf": {"x5t#S256": URL_SAFE_NO_PAD.encode(own.thumbprint)}});
    let token = support::token(support::claims(life));
    let ask = async |peer, seconds| support::reason(auth.authenticate_within(&token, 9999, at(seconds), peer).await);
    // So near the end of the certificate that what was verified is still known after it.
    let last = LIFE.1 - 1;
    for _ in 0..2 {
        assert_eq!(ask(None, last).await, NO_PROOF);
        assert_eq!(ask(Some(&another), last).await, NO_PROOF);
        assert_eq!(ask(Some(&own), last).await, "accepted");
        assert_eq!(ask(Some(&own), last + 2).await, NO_PROOF, "the certificate is past its time");
    }
    assert_eq!(auth.cache_status().hits, 5, "verified when it was first shown with its proof, and known since");
}
