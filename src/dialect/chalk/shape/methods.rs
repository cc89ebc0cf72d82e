//! Which messages a method has.

use super::{Shape, answer, query, server};

/// What a method is sent, and what it answers.
#[derive(Debug)]
pub struct Messages {
    /// Its path, here and upstream.
    pub path: &'static str,
    /// The request's.
    pub request: &'static Shape,
    /// The answer's, as callers may have it.
    pub answer: &'static Shape,
}

/// By the path: there is one of each.
impl PartialEq for Messages {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for Messages {}

/// The messages of the method with this path; `None`: it is none that is served.
pub fn of(path: &str) -> Option<&'static Messages> {
    ALL.iter().find(|messages| messages.path == path)
}

const fn method(path: &'static str, request: &'static Shape, answer: &'static Shape) -> Messages {
    Messages { path, request, answer }
}

static ALL: [Messages; 15] = [
    method("/chalk.engine.v1.QueryService/Ping", &query::PING, &answer::PING),
    method("/chalk.engine.v1.QueryService/OnlineQuery", &query::ONLINE_QUERY, &answer::ONLINE_QUERY),
    method("/chalk.engine.v1.QueryService/OnlineQueryBulk", &query::ONLINE_QUERY_BULK, &answer::ONLINE_QUERY_BULK),
    method("/chalk.engine.v1.QueryService/OnlineQueryMulti", &query::ONLINE_QUERY_MULTI, &answer::ONLINE_QUERY_MULTI),
    method("/chalk.engine.v1.QueryService/UploadFeatures", &query::UPLOAD, &answer::UPLOAD),
    method("/chalk.engine.v1.QueryService/UploadFeaturesBulk", &query::UPLOAD_BULK, &answer::UPLOAD_BULK),
    method("/chalk.server.v1.AuthService/GetToken", &server::GET_TOKEN, &answer::GET_TOKEN),
    method("/chalk.server.v1.TeamService/GetAgent", &server::GET_AGENT, &answer::GET_AGENT),
    method(
        "/chalk.server.v1.IntegrationsService/ListIntegrations",
        &server::LIST_INTEGRATIONS,
        &answer::LIST_INTEGRATIONS,
    ),
    method("/chalk.server.v1.IntegrationsService/GetIntegration", &server::GET_INTEGRATION, &answer::GET_INTEGRATION),
    method(
        "/chalk.server.v1.IntegrationsService/GetIntegrationByName",
        &server::GET_INTEGRATION_BY_NAME,
        &answer::INTEGRATION_ALONE,
    ),
    method(
        "/chalk.server.v1.IntegrationsService/InsertIntegration",
        &server::INSERT_INTEGRATION,
        &answer::INTEGRATION_ALONE,
    ),
    method(
        "/chalk.server.v1.IntegrationsService/UpdateIntegration",
        &server::UPDATE_INTEGRATION,
        &answer::INTEGRATION_ALONE,
    ),
    method(
        "/chalk.server.v1.IntegrationsService/TestIntegration",
        &server::TEST_INTEGRATION,
        &answer::TEST_INTEGRATION,
    ),
    method(
        "/chalk.server.v1.IntegrationsService/DeleteIntegration",
        &server::DELETE_INTEGRATION,
        &answer::DELETE_INTEGRATION,
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::chalk::paths;

    #[test]
    fn every_method_that_is_served_has_its_messages() {
        let served = paths::RPC.iter().chain(paths::OPTIONAL.iter().filter(|path| path.starts_with("/chalk.")));
        let served: BTreeSet<&str> = served.copied().collect();
        assert_eq!(ALL.iter().map(|messages| messages.path).collect::<BTreeSet<_>>(), served);
        for path in served {
            let messages = of(path).unwrap();
            let method = path.rsplit_once('/').unwrap().1;
            assert!(messages.request.name.ends_with(&format!(".{method}Request")), "{messages:?}");
        }
        assert_eq!(of("/chalk.engine.v1.QueryService/Nothing"), None);
    }
}
