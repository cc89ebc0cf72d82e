//! Exports made by hand: a small world of users, their transactions and profile.

use bytes::Bytes;
use prost::Message;

use super::super::proto::*;
use super::*;

pub(super) fn packed(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

fn word(name: &str) -> Identifier {
    Identifier { name: name.to_owned() }
}

pub(super) fn node(kind: NodeKind) -> Bytes {
    packed(&Node { kind: Some(kind) })
}

pub(super) fn name(name: &str) -> Bytes {
    node(NodeKind::Identifier(word(name)))
}

/// `_.a.b` of `["a", "b"]`.
pub(super) fn path(words: &[&str]) -> Bytes {
    words.iter().fold(name("_"), |parent, attribute| of(&parent, attribute))
}

pub(super) fn of(parent: &Bytes, attribute: &str) -> Bytes {
    node(NodeKind::Attribute(packed(&Attribute { parent: Some(parent.clone()), attribute: Some(word(attribute)) })))
}

pub(super) fn at(parent: &Bytes, keys: &[Bytes]) -> Bytes {
    node(NodeKind::Subscript(packed(&Subscript { parent: Some(parent.clone()), subscript: keys.to_vec() })))
}

pub(super) fn call(function: &Bytes, args: &[Bytes]) -> Bytes {
    let call = Call { func: Some(function.clone()), args: args.to_vec(), kwargs: BTreeMap::new() };
    node(NodeKind::Call(packed(&call)))
}

pub(super) fn function(function: &str, args: &[Bytes]) -> Bytes {
    call(&name(function), args)
}

pub(super) fn method(parent: &Bytes, method: &str, args: &[Bytes]) -> Bytes {
    call(&of(parent, method), args)
}

pub(super) fn text(text: &str) -> Bytes {
    let value = ScalarValue { utf8: Some(text.to_owned()), large_utf8: None };
    node(NodeKind::Literal(packed(&Literal { value: Some(value) })))
}

pub(super) fn column(full: &str) -> Bytes {
    let (namespace, name) = full.split_once('.').unwrap();
    node(NodeKind::Column(packed(&Column { name: name.to_owned(), relation: Some(word(namespace)) })))
}

pub(super) fn operation(op: &str, operands: &[Bytes]) -> Bytes {
    node(NodeKind::Binary(packed(&Binary { operands: operands.to_vec(), op: op.to_owned() })))
}

pub(super) fn reference(full: &str) -> Reference {
    let (namespace, name) = full.split_once('.').unwrap();
    Reference { name: name.to_owned(), namespace: namespace.to_owned(), path: vec![], df: None }
}

/// A has-many with some of its columns.
pub(super) fn columns(relation: &str, target: &str, columns: &[&str]) -> Reference {
    Reference { df: Some(packed(&frame(target, columns))), ..reference(relation) }
}

pub(super) fn frame(namespace: &str, columns: &[&str]) -> Frame {
    let optional_columns = columns.iter().map(|column| packed(&reference(column))).collect();
    Frame { root_namespace: namespace.to_owned(), required_columns: vec![], optional_columns, filter: None }
}

pub(super) fn takes(reference: &Reference) -> Bytes {
    let input = FeatureInput { feature: Some(packed(reference)) };
    packed(&ResolverInput { kind: Some(InputKind::Feature(packed(&input))) })
}

pub(super) fn gives(reference: &Reference) -> Bytes {
    packed(&ResolverOutput { kind: Some(OutputKind::Feature(packed(reference))) })
}

pub(super) fn resolver(fqn: &str, inputs: &[&str], outputs: &[&str]) -> Resolver {
    Resolver {
        fqn: fqn.to_owned(),
        inputs: inputs.iter().map(|full| takes(&reference(full))).collect(),
        outputs: outputs.iter().map(|full| gives(&reference(full))).collect(),
        ..Resolver::default()
    }
}

pub(super) fn sql(fqn: &str, inputs: &[&str], outputs: &[&str]) -> Resolver {
    Resolver { sql_settings: Some(SqlSettings::default()), ..resolver(fqn, inputs, outputs) }
}

pub(super) fn source(source_type: &str, name: &str, tags: &[&str]) -> Source {
    let permission_tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    Source { source_type: source_type.to_owned(), name: name.to_owned(), permission_tags }
}

pub(super) fn scalar(full: &str) -> Scalar {
    let (namespace, name) = full.split_once('.').unwrap();
    let (namespace, name) = (namespace.to_owned(), name.to_owned());
    Scalar { attribute_name: name.clone(), namespace, name, ..Scalar::default() }
}

pub(super) fn as_scalar(scalar: &Scalar) -> Bytes {
    packed(&FeatureType { kind: Some(FeatureKind::Scalar(packed(scalar))) })
}

pub(super) fn key(full: &str) -> Bytes {
    as_scalar(&Scalar { is_primary: true, ..scalar(full) })
}

fn bucket(full: &str, seconds: i64) -> Bytes {
    let info = WindowInfo { duration: Some(Duration { seconds }), aggregation: None };
    as_scalar(&Scalar { window_info: Some(packed(&info)), ..scalar(full) })
}

pub(super) fn relation(full: &str, target: &str, join: Option<Bytes>) -> Relation {
    let (namespace, name) = full.split_once('.').unwrap();
    Relation {
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        foreign_namespace: target.to_owned(),
        join,
        tags: vec![],
        attribute_name: name.to_owned(),
    }
}

fn joined(many: bool, full: &str, target: &str, keys: [&str; 2]) -> Bytes {
    let relation = packed(&relation(full, target, Some(operation("==", &keys.map(column)))));
    let kind = if many { FeatureKind::HasMany(relation) } else { FeatureKind::HasOne(relation) };
    packed(&FeatureType { kind: Some(kind) })
}

/// The world, to which a test adds what it is about.
pub(super) struct World {
    pub sets: Vec<(&'static str, Vec<Bytes>)>,
    pub graph: super::super::proto::Graph,
    pub options: Options,
}

pub(super) fn world() -> World {
    let plain = |full: &str| as_scalar(&scalar(full));
    let version = Some(VersionInfo { default: 2 });
    let score = Scalar { version: version.clone(), attribute_name: "score_v1".to_owned(), ..scalar("user.score") };
    let second = Scalar { version, attribute_name: "score".to_owned(), ..scalar("user.score@2") };
    let spent = Windowed { name: "spent".to_owned(), namespace: "user".to_owned(), attribute_name: "spent".to_owned() };
    let user = vec![
        key("user.id"),
        plain("user.name"),
        plain("user.profile_id"),
        joined(false, "user.profile", "profile", ["user.profile_id", "profile.id"]),
        joined(true, "user.transactions", "transaction", ["transaction.user_id", "user.id"]),
        packed(&FeatureType { kind: Some(FeatureKind::Windowed(packed(&spent))) }),
        bucket("user.spent__3600__", 3600),
        bucket("user.spent__86400__", 86400),
        as_scalar(&score),
        as_scalar(&second),
    ];
    let transaction = vec![
        key("transaction.id"),
        plain("transaction.user_id"),
        plain("transaction.amount"),
        plain("transaction.name"),
        plain("transaction.at"),
        joined(true, "transaction.lines", "line", ["line.transaction_id", "transaction.id"]),
        joined(false, "transaction.user", "user", ["transaction.user_id", "user.id"]),
    ];
    let line = vec![key("line.id"), plain("line.transaction_id"), plain("line.price")];
    let profile = vec![key("profile.id"), plain("profile.level")];
    let sets = vec![("user", user), ("transaction", transaction), ("line", line), ("profile", profile)];
    World { sets, graph: super::super::proto::Graph::default(), options: Options::default() }
}

impl World {
    /// Adds a feature of a user.
    pub(super) fn with(mut self, feature: Bytes) -> Self {
        self.sets[0].1.push(feature);
        self
    }

    /// Adds `user.x`, computed by an expression.
    pub(super) fn x(self, expression: Bytes) -> Self {
        self.with(as_scalar(&Scalar { expression: Some(expression), ..scalar("user.x") }))
    }

    pub(super) fn plain_x(self) -> Self {
        self.with(as_scalar(&scalar("user.x")))
    }

    pub(super) fn resolver(mut self, resolver: &Resolver) -> Self {
        self.graph.resolvers.push(packed(resolver));
        self
    }

    pub(super) fn export(&self) -> Export {
        let mut graph = self.graph.clone();
        for (name, features) in &self.sets {
            graph.feature_sets.push(packed(&FeatureSet { name: (*name).to_owned(), features: features.clone() }));
        }
        Export { graph: Some(packed(&graph)), failed: vec![], conversion_errors: vec![] }
    }

    pub(super) fn try_import(&self) -> Result<Import, ImportError> {
        from_export(&packed(&self.export()), &self.options)
    }

    pub(super) fn import(&self) -> Import {
        self.try_import().unwrap()
    }
}

pub(super) fn set(items: &[&str]) -> BTreeSet<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

pub(super) fn found<'a>(import: &'a Import, name: &str) -> &'a Feature {
    import.catalogue.features.get(name).unwrap_or_else(|| panic!("no feature {name}"))
}
