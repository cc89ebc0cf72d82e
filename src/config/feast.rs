//! The doors of a Feast feature server, by what `routes` may say of them (wire-feast.md, section 2; feast/feature_server.py,
//! 0.67).

use crate::chalk::paths::Listed;
use crate::config::units;

/// What the dialect always serves.
const ALWAYS: [&str; 2] = ["/get-online-features", "/health"];

/// What would answer with features in a form that is not read: the same tools once more.
const UNCHECKED: &str = "/mcp";

/// A method of Feast's gRPC, `feast listen`, that is closed until `routes` lists it, and is read and decided then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The online query.
    GetOnlineFeatures,
    /// A row for a push source.
    Push,
    /// A row for a feature view.
    WriteToOnlineStore,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::GetOnlineFeatures, Self::Push, Self::WriteToOnlineStore];

    /// Its path, here and upstream.
    pub fn path(self) -> &'static str {
        match self {
            Self::GetOnlineFeatures => "/GrpcFeatureServer/GetOnlineFeatures",
            Self::Push => "/GrpcFeatureServer/Push",
            Self::WriteToOnlineStore => "/GrpcFeatureServer/WriteToOnlineStore",
        }
    }

    /// The method that a path of `routes` opens.
    pub fn at(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.path() == path)
    }
}

/// Beginnings of the paths of all methods of Feast's servers, in small letters.
const SERVICES: [&str; 2] = ["/grpcfeatureserver/", "/feast."];

/// A door that is closed until `routes` lists it, and is read and decided then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// `POST /search`.
    Search,
    /// `POST /retrieve-online-documents`, its older name.
    Documents,
    /// `GET /v1/vector_stores`.
    Stores,
    /// `GET /v1/vector_stores/{id}`.
    Store,
    /// `POST /v1/vector_stores/{id}/search`.
    StoreSearch,
    /// `POST /push`.
    Push,
    /// `POST /write-to-online-store`.
    Write,
    /// `POST /materialize`.
    Materialize,
    /// `POST /materialize-incremental`.
    MaterializeIncremental,
}

impl Door {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Search,
        Self::Documents,
        Self::Stores,
        Self::Store,
        Self::StoreSearch,
        Self::Push,
        Self::Write,
        Self::Materialize,
        Self::MaterializeIncremental,
    ];

    /// Its path, as `routes` lists it; `{id}` stands for one plain segment.
    pub fn path(self) -> &'static str {
        match self {
            Self::Search => "/search",
            Self::Documents => "/retrieve-online-documents",
            Self::Stores => "/v1/vector_stores",
            Self::Store => "/v1/vector_stores/{id}",
            Self::StoreSearch => "/v1/vector_stores/{id}/search",
            Self::Push => "/push",
            Self::Write => "/write-to-online-store",
            Self::Materialize => "/materialize",
            Self::MaterializeIncremental => "/materialize-incremental",
        }
    }

    /// Its only method.
    pub fn method(self) -> &'static str {
        match self {
            Self::Stores | Self::Store => "GET",
            Self::Search | Self::Documents | Self::StoreSearch => "POST",
            Self::Push | Self::Write | Self::Materialize | Self::MaterializeIncremental => "POST",
        }
    }

    /// The door that a path of `routes` opens.
    pub fn at(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|door| door.path() == path)
    }

    /// Whether the path of a request is behind this door; it is a [`units::plain_path`].
    pub fn matches(self, path: &str) -> bool {
        match self.path().split_once("{id}") {
            None => path == self.path(),
            Some(_) => self.id(path).is_some(),
        }
    }

    /// What stands for `{id}` in the path of a request; `None`: the door has none, or the path is another one.
    pub fn id(self, path: &str) -> Option<&str> {
        let (head, tail) = self.path().split_once("{id}")?;
        let id = units::plain_path(path)?.strip_prefix(head)?.strip_suffix(tail)?;
        (!id.is_empty() && !id.contains('/')).then_some(id)
    }
}

/// What `routes` may say of a path. Nothing that lies below one of the doors is passed on unread.
pub fn listed(path: &str) -> Listed {
    if ALWAYS.contains(&path) {
        return Listed::Always;
    }
    if Door::at(path).is_some() || Method::at(path).is_some() {
        return Listed::Optional;
    }
    if SERVICES.iter().any(|service| path.to_ascii_lowercase().starts_with(service)) {
        return Listed::Unchecked;
    }
    let below = |door: &str| path.strip_prefix(door).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let doors = Door::ALL.into_iter().map(Door::path).filter(|door| !door.contains('{'));
    if ALWAYS.into_iter().chain([UNCHECKED]).chain(doors).any(below) { Listed::Unchecked } else { Listed::Other }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_is_listed_as_it_is_written_here_and_nothing_below_it_is() {
        for door in Door::ALL {
            assert_eq!(listed(door.path()), Listed::Optional, "{door:?}");
            assert_eq!(Door::at(door.path()), Some(door));
        }
        for method in Method::ALL {
            assert_eq!((listed(method.path()), Method::at(method.path())), (Listed::Optional, Some(method)));
        }
        for path in ALWAYS {
            assert_eq!(listed(path), Listed::Always, "{path}");
        }
        for path in [
            "/mcp",
            "/mcp/sse",
            "/search/x",
            "/push/x",
            "/v1/vector_stores/vs_1",
            "/v1/vector_stores/vs_1/search",
            "/v1/vector_stores/{name}",
            "/v1/vector_stores/{id}/files",
            "/materialize/{id}",
            "/get-online-features/x",
            "/GrpcFeatureServer/push",
            "/GrpcFeatureServer/GetOfflineFeatures",
            "/Feast.serving.ServingService/GetOnlineFeatures",
        ] {
            assert_eq!(listed(path), Listed::Unchecked, "{path}");
        }
        for path in ["/v1", "/v1/models", "/searching", "/mcps", "/Push", "/docs"] {
            assert_eq!(listed(path), Listed::Other, "{path}");
        }
    }

    #[test]
    fn an_id_is_one_plain_segment() {
        for (door, path, id) in [
            (Door::Store, "/v1/vector_stores/vs_1", Some("vs_1")),
            (Door::Store, "/v1/vector_stores/search", Some("search")),
            (Door::Store, "/v1/vector_stores/vs_1/search", None),
            (Door::Store, "/v1/vector_stores", None),
            (Door::Store, "/v1/vector_stores/", None),
            (Door::Store, "/v1/vector_stores/vs%2F1", None),
            (Door::StoreSearch, "/v1/vector_stores/vs_1/search", Some("vs_1")),
            (Door::StoreSearch, "/v1/vector_stores//search", None),
            (Door::StoreSearch, "/v1/vector_stores/search", None),
            (Door::StoreSearch, "/v1/vector_stores/a/b/search", None),
            (Door::Search, "/search", None),
        ] {
            assert_eq!(door.id(path), id, "{door:?} {path}");
        }
        assert!(Door::Search.matches("/search") && !Door::Search.matches("/search/x"));
        assert!(Door::Stores.matches("/v1/vector_stores") && !Door::Stores.matches("/v1/vector_stores/vs_1"));
    }
}
