//! Which message has which shape.

use super::{
    DeleteIntegrationRequest, FeatureExpression, GetAgentRequest, GetGraphRequest, GetIntegrationByNameRequest,
    GetIntegrationRequest, GetTokenRequest, InsertIntegrationRequest, ListIntegrationsRequest, OnlineQueryBulkRequest,
    OnlineQueryMultiRequest, OnlineQueryRequest, PingRequest, TestIntegrationRequest, UpdateIntegrationRequest,
    UploadFeaturesBulkRequest, UploadFeaturesRequest,
};
use crate::dialect::chalk::shape::{Shape, expression, query, server};
use crate::dialect::strict::Request;

macro_rules! requests {
    ($($message:ident: $shape:path;)+) => {
        $(impl Request for $message { const SHAPE: &'static Shape = &$shape; })+
    };
}

requests! {
    OnlineQueryRequest: query::ONLINE_QUERY;
    OnlineQueryBulkRequest: query::ONLINE_QUERY_BULK;
    OnlineQueryMultiRequest: query::ONLINE_QUERY_MULTI;
    UploadFeaturesRequest: query::UPLOAD;
    UploadFeaturesBulkRequest: query::UPLOAD_BULK;
    PingRequest: query::PING;
    FeatureExpression: expression::FEATURE_EXPRESSION;
    GetTokenRequest: server::GET_TOKEN;
    ListIntegrationsRequest: server::LIST_INTEGRATIONS;
    GetIntegrationRequest: server::GET_INTEGRATION;
    GetIntegrationByNameRequest: server::GET_INTEGRATION_BY_NAME;
    InsertIntegrationRequest: server::INSERT_INTEGRATION;
    UpdateIntegrationRequest: server::UPDATE_INTEGRATION;
    TestIntegrationRequest: server::TEST_INTEGRATION;
    DeleteIntegrationRequest: server::DELETE_INTEGRATION;
    GetAgentRequest: server::GET_AGENT;
    GetGraphRequest: server::GET_GRAPH;
}
