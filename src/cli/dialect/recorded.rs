//! Requests and answers as they are recorded: a first line, headers, an empty line, a body.

use std::path::Path;

/// A request.
pub struct Request {
    pub method: String,
    pub path: String,
    /// The query string, without the question mark.
    pub parameters: String,
    pub body: Vec<u8>,
}

/// An answer.
pub struct Response {
    pub status: u16,
    /// Why its body is none that is read, as its headers say.
    pub odd: Option<&'static str>,
    pub body: Vec<u8>,
}

/// First line, headers (names in lower case) and body.
struct Message<'b> {
    line: &'b str,
    headers: Vec<(String, &'b str)>,
    body: &'b [u8],
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("`{}` cannot be read: {error}", path.display()))
}

fn message(bytes: &[u8]) -> Option<Message<'_>> {
    let ends: [&[u8]; 2] = [b"\r\n\r\n", b"\n\n"];
    let end = |end: &[u8]| bytes.windows(end.len()).position(|window| window == end).map(|at| (at, at + end.len()));
    let (head, body) = ends.into_iter().filter_map(end).min().unwrap_or((bytes.len(), bytes.len()));
    let head = std::str::from_utf8(bytes.get(..head)?).ok()?;
    let mut lines = head.lines();
    let line = lines.next()?.trim_end();
    let header = |line: &'_ str| line.split_once(':').map(|(name, _)| name.trim().to_ascii_lowercase());
    let headers = lines.map(|line| Some((header(line)?, line.split_once(':')?.1.trim()))).collect::<Option<_>>()?;
    // An editor ends a file with a line end.
    Some(Message { line, headers, body: bytes.get(body..)?.trim_ascii_end() })
}

/// Reads a request.
///
/// # Errors
/// Not readable, or no request.
pub fn request(path: &Path) -> Result<Request, String> {
    let bytes = read(path)?;
    let read = message(&bytes).and_then(|message| {
        let mut words = message.line.split(' ');
        let (method, target) = (words.next()?, words.next()?);
        let version = words.next().is_none_or(|version| version.starts_with("HTTP/"));
        let plain = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
        let (path, parameters) = target.split_once('?').unwrap_or((target, ""));
        (version && plain && words.next().is_none() && target.starts_with('/')).then(|| Request {
            method: method.to_owned(),
            path: path.to_owned(),
            parameters: parameters.to_owned(),
            body: message.body.to_vec(),
        })
    });
    read.ok_or_else(|| {
        format!("`{}` holds no request: `POST /path HTTP/1.1`, headers, an empty line and the body", path.display())
    })
}

/// Reads an answer: with its head, or the body alone.
///
/// # Errors
/// Not readable, or a head that is none.
pub fn response(path: &Path) -> Result<Response, String> {
    let bytes = read(path)?;
    if !bytes.starts_with(b"HTTP/") {
        return Ok(Response { status: 200, odd: None, body: bytes.trim_ascii_end().to_vec() });
    }
    let read = message(&bytes).and_then(|message| {
        let status = message.line.split(' ').nth(1)?.parse().ok()?;
        let header = |name: &str| message.headers.iter().find(|(own, _)| own == name).map(|(_, value)| *value);
        let media = header("content-type").unwrap_or_default().split(';').next().unwrap_or_default().trim();
        let json = media.eq_ignore_ascii_case("application/json") || media.to_ascii_lowercase().ends_with("+json");
        let odd = match (json, header("content-encoding")) {
            (_, Some(_)) => Some("it has a Content-Encoding"),
            (false, None) => Some("its Content-Type is not JSON"),
            (true, None) => None,
        };
        Some(Response { status, odd, body: message.body.to_vec() })
    });
    read.ok_or_else(|| {
        format!("`{}` holds no answer: `HTTP/1.1 200 OK`, headers, an empty line and the body", path.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_ends_its_head_with_the_first_empty_line() {
        for (text, headers, body) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n{\"a\":\n\n1}\n", 1, "{\"a\":\n\n1}"),
            ("GET / HTTP/1.1\nHost: a:80\nX: \n\n{}\r\n\r\n", 2, "{}"),
            ("GET / HTTP/1.1", 0, ""),
            ("GET / HTTP/1.1\n\n", 0, ""),
        ] {
            let message = message(text.as_bytes()).unwrap();
            assert_eq!((message.line, message.headers.len()), ("GET / HTTP/1.1", headers), "{text:?}");
            assert_eq!(message.body, body.as_bytes(), "{text:?}");
        }
        assert!(message(b"GET / HTTP/1.1\nno header\n\n").is_none());
        assert!(message(b"\xff").is_none());
    }
}
