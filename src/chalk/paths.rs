//! The paths of a Chalk server, by what the sidecar can do about them (wire-chalk.md, sections 3, 5.10, 6 and 7).

/// The online query over HTTP.
pub const ONLINE: &str = "/v1/query/online";
/// Bulk and multi queries over HTTP.
pub const FEATHER: &str = "/v1/query/feather";
/// Client credentials -> a token.
pub const TOKEN: &str = "/v1/oauth/token";
/// Who a token is.
pub const WHO_AM_I: &str = "/v1/who-am-i";
/// The health.
pub const PING: &str = "/ping";

/// What the dialect always serves over HTTP.
pub const HTTP: [&str; 5] = [ONLINE, FEATHER, TOKEN, WHO_AM_I, PING];

/// The methods that the dialect always serves over gRPC and Connect.
pub const RPC: [&str; 13] = [
    "/chalk.engine.v1.QueryService/Ping",
    "/chalk.engine.v1.QueryService/OnlineQuery",
    "/chalk.engine.v1.QueryService/OnlineQueryBulk",
    "/chalk.engine.v1.QueryService/OnlineQueryMulti",
    "/chalk.server.v1.AuthService/GetToken",
    "/chalk.server.v1.TeamService/GetAgent",
    "/chalk.server.v1.IntegrationsService/ListIntegrations",
    "/chalk.server.v1.IntegrationsService/GetIntegration",
    "/chalk.server.v1.IntegrationsService/GetIntegrationByName",
    "/chalk.server.v1.IntegrationsService/TestIntegration",
    "/chalk.server.v1.IntegrationsService/InsertIntegration",
    "/chalk.server.v1.IntegrationsService/UpdateIntegration",
    "/chalk.server.v1.IntegrationsService/DeleteIntegration",
];

/// Uploads: the dialect reads and decides them where `routes` lists them. All are POST.
pub const OPTIONAL: [&str; 4] = [
    "/v1/upload_features",
    "/v1/upload_features/multi",
    "/chalk.engine.v1.QueryService/UploadFeatures",
    "/chalk.engine.v1.QueryService/UploadFeaturesBulk",
];

/// What returns data or changes the policy in forms that nobody can check on the way: below the version (`/v1`), segment by
/// segment. `*` at the end of a segment is any rest of it, `**` any further segments.
const UNCHECKED: [&str; 16] = [
    "query/**",
    "offline_query/**",
    "offline_query_parquet_upload_url/**",
    "upload_features/**",
    "prompt/**",
    "compute_resolver_output*/**",
    "runs/trigger",
    "resolver_replay/**",
    "resolvers/**",
    "dqm/**",
    "test_stream_resolver/**",
    "ingest_dataset/**",
    "branches/*/source",
    "branch/*/graph_*",
    "features/**",
    "incremental_progress/**",
];

/// What `routes` may say of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// Nothing: it is served without being listed.
    Always,
    /// That it is served: the dialect reads it then, and decides it.
    Optional,
    /// Nothing: it returns data, or changes the policy, and cannot be checked.
    Unchecked,
    /// That it passes through.
    Other,
}

/// What `routes` may say of a path. Another case of letters is taken for the same path where that is the stricter answer, for a
/// server may do so.
pub fn listed(path: &str) -> Listed {
    if HTTP.contains(&path) || RPC.contains(&path) {
        return Listed::Always;
    }
    if OPTIONAL.contains(&path) {
        return Listed::Optional;
    }
    let path = path.to_ascii_lowercase();
    if path.starts_with("/chalk.") {
        return Listed::Unchecked;
    }
    let mut segments = path.trim_start_matches('/').split('/').peekable();
    // Any version, for what one forbids another must not give.
    let version = |segment: &&str| {
        segment.strip_prefix('v').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    segments.next_if(version);
    let segments: Vec<&str> = segments.collect();
    if UNCHECKED.iter().any(|form| fits(form, &segments)) { Listed::Unchecked } else { Listed::Other }
}

fn fits(form: &str, segments: &[&str]) -> bool {
    let mut segments = segments.iter();
    for wanted in form.split('/') {
        if wanted == "**" {
            return true;
        }
        let Some(segment) = segments.next() else { return false };
        let fits = match wanted.strip_suffix('*') {
            Some(head) => segment.starts_with(head),
            None => *segment == wanted,
        };
        if !fits {
            return false;
        }
    }
    segments.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_checked_is_never_passed_on() {
        for path in [
            "/v1/query/plan",
            "/v1/query/run",
            "/v1/query",
            "/V1/Query/Run",
            "/v7/query/online",
            "/query/online",
            "/v1/prompt/evaluate",
            "/v1/compute_resolver_output",
            "/v1/compute_resolver_output_multi/x",
            "/v1/runs/trigger",
            "/v4/resolver_replay/r",
            "/v1/dqm/test",
            "/v1/test_stream_resolver",
            "/v4/ingest_dataset",
            "/v1/branches/b/source",
            "/v1/branch/b/graph_patch",
            "/v1/features/rows",
            "/v1/features/columns",
            "/v1/offline_query_parquet_upload_url/3",
            "/v1/incremental_progress/r",
            "/v1/resolvers/r",
            "/v4/offline_query",
            "/v4/offline_query/1/preview",
            "/v3/offline_query/n",
            "/chalk.protosql.v1.SqlService/ExecuteSqlQuery",
            "/chalk.engine.v2.DataFrameService/ExecutePlan",
            "/chalk.engine.v1.QueryService/GetAggregates",
            "/chalk.server.v1.IntegrationsService/ListIntegrationsAndSecrets",
            "/chalk.server.v1.IntegrationsService/GetIntegrationValue",
            "/chalk.server.v1.TeamService/UpdateServiceToken",
            "/Chalk.Engine.V1.QueryService/OnlineQuery",
            "/v2/upload_features",
        ] {
            assert_eq!(listed(path), Listed::Unchecked, "{path}");
        }
    }

    #[test]
    fn the_rest_is_the_dialects_or_passes_through() {
        for path in HTTP.iter().chain(&RPC) {
            assert_eq!(listed(path), Listed::Always, "{path}");
        }
        for path in OPTIONAL {
            assert_eq!(listed(path), Listed::Optional, "{path}");
        }
        for path in
            ["/v1/branches/start", "/v1/branch/b", "/v1/runs", "/v1/querying", "/items", "/v1", "/", "/v1/runs/1"]
        {
            assert_eq!(listed(path), Listed::Other, "{path}");
        }
    }
}
