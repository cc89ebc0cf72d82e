//! Asking the deployment, always where `upstream.url` is, whatever its answers say (wire-chalk.md, 2.1 to 2.3, 7, 10).

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::http::response::Parts;
use hyper::{Method, Request, StatusCode};
use prost::Message;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Asked, Graph};
use crate::config::GraphCredentials;
use crate::dialect::chalk::integrations::data_source;
use crate::dialect::chalk::proto::{
    GetGraphRequest, GetGraphResponse, ListDatasourcePermissionTagsRequest, ListDatasourcePermissionTagsResponse,
};
use crate::grpc::{self, Code};
use crate::import::{self, ImportError};
use crate::json::strict_object;
use crate::live::load::{LoadError, secret};
use crate::policy::file::Labels;
use crate::proxy::body::{self, BodyError};
use crate::upstream::{Protocol, Upstream, UpstreamError};

const TOKEN: &str = "/v1/oauth/token";
const GRAPH: &str = "/chalk.server.v1.GraphService/GetGraph";
const TAGS: &str = "/chalk.server.v1.IntegrationsService/ListDatasourcePermissionTags";
/// Bytes of the answer with a token.
const MAX_TOKEN: usize = 64 << 10;

/// Why there is no graph. No text has anything of a credential, or of an answer but names and places.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// No connection, or it broke.
    #[error("the deployment did not answer to `{path}`: {why}")]
    NoAnswer {
        /// What was asked.
        path: &'static str,
        /// What happened.
        why: String,
    },
    /// The deadline of one exchange.
    #[error("the deployment did not answer to `{path}` within {} ms", .within.as_millis())]
    Late {
        /// What was asked.
        path: &'static str,
        /// `upstream.timeout`.
        within: Duration,
    },
    /// More than is read.
    #[error("the deployment's answer to `{path}` is larger than {most} bytes")]
    TooLarge {
        /// What was asked.
        path: &'static str,
        /// The cap: `limits.response_body`.
        most: usize,
    },
    /// Another status than 200 in the place of a token.
    #[error("the deployment gives no token for its graph: it answers with {0}")]
    NoToken(u16),
    /// A call that ended with an error.
    #[error("the deployment refuses `{path}`: {}", .code.name())]
    Refused {
        /// What was asked.
        path: &'static str,
        /// How it ended.
        code: Code,
    },
    /// Not what was asked for.
    #[error("the deployment's answer to `{path}` cannot be read: {why}")]
    Unreadable {
        /// What was asked.
        path: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A graph that is none.
    #[error("the deployment's graph does not import: {0}")]
    Import(#[from] ImportError),
}

impl GraphError {
    /// Whether asking again may help, and soon.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::NoAnswer { .. } | Self::Late { .. } => true,
            Self::NoToken(status) => *status >= 500 || *status == 429,
            Self::Refused { code, .. } => match code {
                Code::Cancelled
                | Code::Unknown
                | Code::DeadlineExceeded
                | Code::ResourceExhausted
                | Code::Aborted
                | Code::Internal
                | Code::Unavailable => true,
                Code::InvalidArgument
                | Code::NotFound
                | Code::AlreadyExists
                | Code::PermissionDenied
                | Code::FailedPrecondition
                | Code::OutOfRange
                | Code::Unimplemented
                | Code::DataLoss
                | Code::Unauthenticated => false,
            },
            Self::TooLarge { .. } | Self::Unreadable { .. } | Self::Import(_) => false,
        }
    }
}

/// Credentials are read, and connections made, for each reading: what rotates is the newest.
pub(super) async fn read(asked: &Asked) -> Result<Graph, LoadError> {
    let deployment = Deployment { upstream: Upstream::new(&asked.upstream)?, asked };
    let authorization = deployment.authorization().await?;
    let request = GetGraphRequest::default();
    let answer: GetGraphResponse = deployment.call(GRAPH, &request, &authorization).await?;
    let labels = if asked.settings.datasource_tags {
        let request = ListDatasourcePermissionTagsRequest::default();
        labels(deployment.call(TAGS, &request, &authorization).await?)
    } else {
        Vec::new()
    };
    let GetGraphResponse { graph, export, .. } = answer;
    // A large graph takes a while.
    let import = move || import::chalk::from_server(export, graph, &import::chalk::Options::default());
    let imported = tokio::task::spawn_blocking(import).await;
    let died = |_| GraphError::Unreadable { path: GRAPH, why: "the import did not finish".to_owned() };
    Ok(Graph::new(imported.map_err(died)?.map_err(GraphError::from)?, labels))
}

/// Who has no tag says nothing of who may read. One without a name is the default of its kind, as in the importer.
fn labels(answer: ListDatasourcePermissionTagsResponse) -> Vec<Labels> {
    let tagged = answer.datasource_permission_tags.into_iter().map(|source| {
        let kind = data_source(source.kind);
        let name = if source.name.is_empty() { kind.map(|kind| kind.code.to_owned()) } else { Some(source.name) };
        let tags: BTreeSet<String> = source.permission_tags.into_iter().filter(|tag| !tag.is_empty()).collect();
        Labels { name: name.unwrap_or_default(), kind: kind.map(|kind| kind.name.to_owned()), tags }
    });
    tagged.filter(|labels| !labels.tags.is_empty() && !labels.name.is_empty()).collect()
}

struct Deployment<'a> {
    upstream: Upstream,
    asked: &'a Asked,
}

impl Deployment<'_> {
    /// `Authorization`, marked sensitive.
    async fn authorization(&self) -> Result<HeaderValue, LoadError> {
        let credentials = &self.asked.settings.credentials;
        let secret = secret(credentials.file())?;
        let unusable = |why: &str| LoadError::Secret { path: credentials.file().clone(), why: why.to_owned() };
        match credentials {
            GraphCredentials::BearerFile(_) => {
                bearer(secret.trim_ascii()).ok_or_else(|| unusable("it holds no bearer token that a header can carry"))
            }
            GraphCredentials::Client { id, .. } => {
                let secret = std::str::from_utf8(secret.trim_ascii());
                let secret = secret.map_err(|_| unusable("it holds no client secret: it is not utf-8"))?;
                Ok(self.token(id, secret).await?)
            }
        }
    }

    /// Of the answer the token alone counts: its addresses are not ours to follow.
    async fn token(&self, id: &str, secret: &str) -> Result<HeaderValue, GraphError> {
        let asked = json!({
            "client_id": id, "client_secret": secret, "grant_type": "client_credentials", "scope": null,
        });
        let mut request = Request::new(Full::from(asked.to_string()));
        *request.method_mut() = Method::POST;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json.clone());
        request.headers_mut().insert(ACCEPT, json);
        let (head, body, _) = self.exchange(TOKEN, request, Protocol::Http1, MAX_TOKEN).await?;
        if head.status != StatusCode::OK {
            return Err(GraphError::NoToken(head.status.as_u16()));
        }
        let token = strict_object(&body).and_then(|answer| match answer.get("access_token") {
            Some(Value::String(token)) if !token.is_empty() => bearer(token.as_bytes()),
            Some(_) | None => None,
        });
        let why = "it has no `access_token` that a header can carry".to_owned();
        token.ok_or(GraphError::Unreadable { path: TOKEN, why })
    }

    /// A call of a method that only reads.
    async fn call<A: Message + Default>(
        &self,
        path: &'static str,
        message: &impl Message,
        authorization: &HeaderValue,
    ) -> Result<A, GraphError> {
        let unreadable = |why: &str| GraphError::Unreadable { path, why: why.to_owned() };
        let mut request = grpc::request(&message.encode_to_vec()).ok_or_else(|| unreadable("it was not asked"))?;
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, authorization.clone());
        headers.insert(HeaderName::from_static("x-chalk-server"), HeaderValue::from_static("go-api"));
        let environment = HeaderValue::from_str(&self.asked.environment);
        let environment = environment.map_err(|_| unreadable("the environment fits in no header"))?;
        headers.insert(HeaderName::from_static("x-chalk-env-id"), environment);
        let most = self.asked.most.saturating_add(grpc::PREFIX);
        let (head, body, trailers) = self.exchange(path, request, Protocol::Http2, most).await?;
        // An error's text may have anything in it, our token too.
        let message = grpc::answer(&head, &body, &trailers).map_err(|stopped| match stopped {
            grpc::Stopped::Unreadable(why) => GraphError::Unreadable { path, why },
            grpc::Stopped::Status { code, .. } => GraphError::Refused { path, code },
        })?;
        A::decode(message).map_err(|_| unreadable("it is damaged, cut short or of another kind"))
    }

    /// One exchange, whole, within `upstream.timeout`.
    async fn exchange(
        &self,
        path: &'static str,
        request: Request<Full<Bytes>>,
        protocol: Protocol,
        most: usize,
    ) -> Result<(Parts, Bytes, HeaderMap), GraphError> {
        let within = self.asked.upstream.timeout;
        let until = Instant::now() + within;
        let late = || GraphError::Late { path, within };
        let exchange = async {
            let sent = self.upstream.send(&|| request.clone(), path, protocol, false).await;
            let response = sent.map_err(|error| match error {
                UpstreamError::Path => GraphError::Unreadable { path, why: "it has no such path".to_owned() },
                UpstreamError::Connect(why) | UpstreamError::Broken(why) => GraphError::NoAnswer { path, why },
            })?;
            let (head, body) = response.into_parts();
            let (body, trailers) = body::collect(body, most).await.map_err(|error| match error {
                BodyError::TooLarge(most) => GraphError::TooLarge { path, most },
                BodyError::Timeout => late(),
                BodyError::Broken(error) => GraphError::NoAnswer { path, why: error.to_string() },
            })?;
            Ok((head, body, trailers))
        };
        tokio::time::timeout_at(until, exchange).await.map_err(|_| late())?
    }
}

fn bearer(token: &[u8]) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_bytes(&[b"Bearer ", token].concat()).ok()?;
    value.set_sensitive(true);
    Some(value)
}
