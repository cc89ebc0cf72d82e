//! Feast's registry file (`registry.db`: a bare `feast.core.Registry` in protobuf) -> the same
//! catalogue as its dump: the message is put into the dump's JSON form, with the fields that the
//! import reads, and imported as that. Numbers and types from Feast 0.67.
//!
//! A file can hold several projects where a dump has one. On-demand views without a transformation
//! are in the file and not in the dump.

use std::collections::BTreeSet;

use prost::Message as _;
use serde_json::{Map, Value, json};

use super::super::node::shown;
use super::super::{Import, ImportError};
use super::{Options, from_dump};
use messages::{
    EntitySpec, Field, LabelViewSpec, OnDemandSource, OnDemandViewSpec, Projection, Registry, RequestOptions,
    ServiceSpec, Source, StreamViewSpec, ViewSpec,
};

mod messages;

/// The catalogue of one project of a registry file; `project` may be left out where the file has only one.
///
/// # Errors
/// `Damaged`, `ManyProjects`, and any [`ImportError`] of [`super::from_registry_dump`]; nothing is
/// imported then.
pub fn from_registry_db(bytes: &[u8], project: Option<&str>, options: &Options) -> Result<Import, ImportError> {
    let registry = Registry::decode(bytes).map_err(|_| ImportError::Damaged { place: "registry file".to_owned() })?;
    let projects = registry.projects();
    let project = match project {
        Some(project) => project.to_owned(),
        None if projects.len() > 1 => {
            let names: Vec<String> = projects.into_iter().map(|name| format!("`{}`", shown(name))).collect();
            return Err(ImportError::ManyProjects { projects: names.join(", ") });
        }
        None => projects.into_iter().next().unwrap_or_default().to_owned(),
    };
    from_dump(&registry.dump(&project), options)
}

/// `DataSource.SourceType`, by number.
const SOURCE_TYPES: &[&str] = &[
    "INVALID",
    "BATCH_FILE",
    "BATCH_BIGQUERY",
    "STREAM_KAFKA",
    "STREAM_KINESIS",
    "BATCH_REDSHIFT",
    "CUSTOM_SOURCE",
    "REQUEST_SOURCE",
    "BATCH_SNOWFLAKE",
    "PUSH_SOURCE",
    "BATCH_TRINO",
    "BATCH_SPARK",
    "BATCH_ATHENA",
    "BATCH_ICEBERG",
];

impl Registry {
    fn projects(&self) -> BTreeSet<&str> {
        let entities = self.entities.iter().flat_map(|e| &e.spec).map(|spec| &spec.project);
        let views = self.feature_views.iter().flat_map(|v| &v.spec).map(|spec| &spec.project);
        let streams = self.stream_feature_views.iter().flat_map(|v| &v.spec).map(|spec| &spec.project);
        let labels = self.label_views.iter().flat_map(|v| &v.spec).map(|spec| &spec.project);
        let on_demand = self.on_demand_feature_views.iter().flat_map(|v| &v.spec).map(|spec| &spec.project);
        let services = self.feature_services.iter().flat_map(|s| &s.spec).map(|spec| &spec.project);
        let all = entities.chain(views).chain(streams).chain(labels).chain(on_demand).chain(services);
        all.map(String::as_str).collect()
    }

    /// What `feast registry-dump` prints of one project, as far as it is read. An object without a `spec` is of every
    /// project, so that it is refused.
    fn dump(&self, project: &str) -> Value {
        fn listed<T, S>(
            items: &[T],
            spec: impl Fn(&T) -> Option<&S>,
            of: impl Fn(&S) -> &str,
            json: impl Fn(&S) -> Value,
            project: &str,
        ) -> Value {
            let ours = items.iter().map(spec).filter(|spec| spec.is_none_or(|spec| of(spec) == project));
            ours.map(|spec| spec.map_or_else(|| json!({}), |spec| json!({"spec": json(spec)}))).collect()
        }
        let sources = self.data_sources.iter().filter(|source| source.project == project);
        json!({
            "entities": listed(&self.entities, |e| e.spec.as_ref(), |s| &s.project, EntitySpec::json, project),
            "featureViews": listed(&self.feature_views, |v| v.spec.as_ref(), |s| &s.project, ViewSpec::json, project),
            "streamFeatureViews":
                listed(&self.stream_feature_views, |v| v.spec.as_ref(), |s| &s.project, StreamViewSpec::json, project),
            "labelViews": listed(&self.label_views, |v| v.spec.as_ref(), |s| &s.project, LabelViewSpec::json, project),
            "onDemandFeatureViews":
                listed(&self.on_demand_feature_views, |v| v.spec.as_ref(), |s| &s.project, OnDemandViewSpec::json, project),
            "featureServices":
                listed(&self.feature_services, |s| s.spec.as_ref(), |s| &s.project, ServiceSpec::json, project),
            "dataSources": sources.map(Source::json).collect::<Value>(),
        })
    }
}

/// An object without its empty fields, as protobuf's JSON form leaves them out.
fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let said = fields.into_iter().filter(|(_, value)| match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(_) | Value::Bool(true) | Value::Number(_) => true,
    });
    Value::Object(said.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

fn fields(fields: &[Field]) -> Value {
    fields.iter().map(|field| object([("name", json!(field.name)), ("tags", json!(field.tags))])).collect()
}

fn source(source: Option<&Source>) -> Value {
    source.map_or(Value::Null, Source::json)
}

impl EntitySpec {
    fn json(&self) -> Value {
        object([("name", json!(self.name)), ("joinKey", json!(self.join_key))])
    }
}

impl ViewSpec {
    fn json(&self) -> Value {
        object([
            ("name", json!(self.name)),
            ("entities", json!(self.entities)),
            ("features", fields(&self.features)),
            ("tags", json!(self.tags)),
            ("batchSource", source(self.batch_source.as_deref())),
            ("streamSource", source(self.stream_source.as_deref())),
            ("entityColumns", fields(&self.entity_columns)),
            ("sourceViews", self.source_views.iter().map(ViewSpec::json).collect()),
        ])
    }
}

impl StreamViewSpec {
    fn json(&self) -> Value {
        object([
            ("name", json!(self.name)),
            ("entities", json!(self.entities)),
            ("features", fields(&self.features)),
            ("tags", json!(self.tags)),
            ("batchSource", source(self.batch_source.as_ref())),
            ("streamSource", source(self.stream_source.as_ref())),
            ("entityColumns", fields(&self.entity_columns)),
        ])
    }
}

impl LabelViewSpec {
    fn json(&self) -> Value {
        object([
            ("name", json!(self.name)),
            ("entities", json!(self.entities)),
            ("features", fields(&self.features)),
            ("tags", json!(self.tags)),
            ("source", source(self.source.as_ref())),
            ("entityColumns", fields(&self.entity_columns)),
        ])
    }
}

impl OnDemandViewSpec {
    fn json(&self) -> Value {
        let sources: Map<String, Value> =
            self.sources.iter().map(|(name, source)| (name.clone(), source.json())).collect();
        object([
            ("name", json!(self.name)),
            ("features", fields(&self.features)),
            // There even where it is empty: it tells the kind of the view.
            ("sources", Value::Object(sources)),
            ("tags", json!(self.tags)),
            ("writeToOnlineStore", json!(self.write_to_online_store)),
            ("entities", json!(self.entities)),
            ("entityColumns", fields(&self.entity_columns)),
        ])
    }
}

impl OnDemandSource {
    fn json(&self) -> Value {
        let view = self.feature_view.as_ref();
        object([
            (
                "featureView",
                view.map_or(Value::Null, |v| object([("spec", v.spec.as_ref().map_or(Value::Null, ViewSpec::json))])),
            ),
            ("requestDataSource", source(self.request_data_source.as_ref())),
            ("featureViewProjection", self.feature_view_projection.as_ref().map_or(Value::Null, Projection::json)),
        ])
    }
}

impl ServiceSpec {
    fn json(&self) -> Value {
        object([("name", json!(self.name)), ("features", self.features.iter().map(Projection::json).collect())])
    }
}

impl Projection {
    fn json(&self) -> Value {
        object([
            ("featureViewName", json!(self.feature_view_name)),
            ("featureColumns", fields(&self.feature_columns)),
            ("featureViewNameAlias", json!(self.feature_view_name_alias)),
            ("joinKeyMap", json!(self.join_key_map)),
            ("versionTag", json!(self.version_tag)),
        ])
    }
}

impl Source {
    fn json(&self) -> Value {
        let kind = usize::try_from(self.kind).ok().and_then(|number| SOURCE_TYPES.get(number));
        let kind = kind.map_or_else(|| format!("TYPE_{}", self.kind), |kind| (*kind).to_owned());
        let options = self.request_data_options.as_ref();
        object([
            ("name", json!(self.name)),
            ("type", json!(kind)),
            ("tags", json!(self.tags)),
            ("dataSourceClassType", json!(self.data_source_class_type)),
            ("batchSource", source(self.batch_source.as_deref())),
            ("requestDataOptions", options.map_or(Value::Null, RequestOptions::json)),
        ])
    }
}

impl RequestOptions {
    fn json(&self) -> Value {
        object([("schema", fields(&self.schema)), ("deprecatedSchema", json!(self.deprecated_schema))])
    }
}

#[cfg(test)]
mod tests;
