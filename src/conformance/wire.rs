//! What is sent, what comes back, and what that means.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::Cell;
use crate::grpc::unframed;

/// A request, without its credentials.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The path.
    pub path: String,
    /// Headers besides those that every request has.
    pub headers: Vec<(&'static str, &'static str)>,
    /// The body.
    pub body: Bytes,
    /// A call of gRPC: over HTTP/2.
    pub grpc: bool,
}

/// What came back, whole.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    /// The status.
    pub status: u16,
    /// Names in lower case, values as they came.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Bytes,
    /// What came behind it.
    pub trailers: Vec<(String, Vec<u8>)>,
}

impl Exchange {
    /// A header or trailer, as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter().chain(&self.trailers);
        let (_, value) = all.find(|(own, _)| own == name)?;
        std::str::from_utf8(value).ok()
    }
}

impl Exchange {
    /// The message of a call of gRPC, or what its end means.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn message(&self) -> Result<Result<Bytes, Got>, String> {
        if self.status != 200 {
            return Ok(Err(Got::Failed));
        }
        let text = || self.header("grpc-message").unwrap_or_default().to_owned();
        match self.header("grpc-status").ok_or("there is no `grpc-status`")? {
            "0" => {}
            "3" => return Ok(Err(Got::Invalid)),
            "7" => return Ok(Err(Got::Denied(text()))),
            "16" => return Ok(Err(Got::Unauthenticated)),
            _ => return Ok(Err(Got::Failed)),
        }
        let (is_packed, message) = unframed(&self.body)?;
        if is_packed {
            return Err("its message is compressed, which was not asked for".to_owned());
        }
        Ok(Ok(message))
    }
}

/// The members of an object in JSON, in their order; one that stands twice is here twice.
pub struct Members<T>(pub Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Members<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Each<T> {
            type Value = Members<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<T>, A::Error> {
                let mut all = Vec::new();
                while let Some(member) = map.next_entry()? {
                    all.push(member);
                }
                Ok(Members(all))
            }
        }
        deserializer.deserialize_map(Each(PhantomData))
    }
}

/// A column of an answer: its name, and a value for each row.
pub type Column = (String, Vec<Cell>);

/// What an exchange means.
#[derive(Clone, Debug, PartialEq)]
pub enum Got {
    /// An answer with these columns, in their order; one that stands twice is here twice.
    Answer(Vec<Column>),
    /// FEATURES_REFUSED, and the names.
    Refused(Vec<String>),
    /// PERMISSION_DENIED of gRPC, which has a text alone: refused, or no role.
    Denied(String),
    /// INVALID_QUERY.
    Invalid,
    /// FORBIDDEN: no role.
    Forbidden,
    /// UNAUTHORIZED: no token that counts.
    Unauthenticated,
    /// A failure of the feature server, or of its answer.
    Failed,
    /// It cannot be read; why.
    Unread(String),
}

impl Got {
    /// What it is, for people.
    pub fn shown(&self) -> String {
        match self {
            Self::Answer(_) => "an answer".to_owned(),
            Self::Refused(_) => "refused".to_owned(),
            Self::Denied(_) => "denied".to_owned(),
            Self::Invalid => "invalid".to_owned(),
            Self::Forbidden => "forbidden".to_owned(),
            Self::Unauthenticated => "unauthenticated".to_owned(),
            Self::Failed => "a failure of the feature server".to_owned(),
            Self::Unread(why) => format!("an answer that cannot be read: {why}"),
        }
    }
}
