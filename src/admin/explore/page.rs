//! The page: one document, with its style and its script in it. The browser runs these two alone, known by their hashes.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::header::{self, HeaderValue};

const DOCUMENT: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
/// One after the other, they are one script.
const SCRIPTS: [&str; 8] = [
    include_str!("page/base.js"),
    include_str!("page/parts.js"),
    include_str!("page/caller.js"),
    include_str!("page/lineage.js"),
    include_str!("page/features.js"),
    include_str!("page/query.js"),
    include_str!("page/others.js"),
    include_str!("page/main.js"),
];

/// The document, and what the browser may do with it.
#[derive(Debug)]
pub(super) struct Page {
    text: Bytes,
    policy: HeaderValue,
}

impl Default for Page {
    fn default() -> Self {
        let script = format!("(() => {{\n\"use strict\";\n{}}})();\n", SCRIPTS.concat());
        let text = DOCUMENT.replace("/* style */", STYLE).replace("/* script */", &script);
        let policy = format!(
            "default-src 'none'; script-src '{}'; style-src '{}'; connect-src 'self'; img-src data:; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
            hash(&script),
            hash(STYLE)
        );
        // Base64 is a header's value; without one nothing would run.
        let policy = HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
        Self { text: Bytes::from(text), policy }
    }
}

impl Page {
    pub(super) fn response(&self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.text.clone()));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(header::CONTENT_SECURITY_POLICY, self.policy.clone());
        response
    }
}

/// As a policy names what stands inside an element.
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(digest(&SHA256, text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of features, roles, tags and callers become text nodes, and nothing else.
    #[test]
    fn nothing_in_the_page_makes_markup_of_text_or_leaves_the_origin() {
        let all = [DOCUMENT, STYLE, &SCRIPTS.concat()].concat();
        let forbidden = [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "DOMParser",
            "createContextualFragment",
            "srcdoc",
            "eval(",
            "Function(",
            "setTimeout(\"",
            "javascript:",
            "@import",
            "url(",
            "sessionStorage",
            "import(",
            "postMessage",
            "window.open",
            "cookie",
            " style=\"",
            "onclick=",
            "setHTML",
        ];
        for word in forbidden {
            assert!(!all.contains(word), "{word}");
        }
        // Of names of other places there is the namespace of SVG alone.
        let addresses: Vec<&str> = all.match_indices("http").filter_map(|(at, _)| all.get(at..at + 26)).collect();
        assert!(addresses.iter().all(|address| *address == "http://www.w3.org/2000/svg"), "{addresses:?}");
        assert!(!SCRIPTS.concat().contains("</") && !STYLE.contains("</"));
    }

    #[test]
    fn style_and_script_stand_in_the_page_once_each() {
        assert_eq!(DOCUMENT.matches("/* style */").count(), 1);
        assert_eq!(DOCUMENT.matches("/* script */").count(), 1);
        assert_eq!(DOCUMENT.matches("<script").count() + DOCUMENT.matches("<style").count(), 2);
    }
}
