//! What a caller may, in Chalk's words: `TeamService/GetAgent` (wire-chalk.md, sections 2.6 and 8).
//!
//! Chalk knows a map from tags to permissions and a default, beside which it has a `Deny` of the lineage, and what the lineage
//! clears, as policy.md has them. The map is stated where that gives no feature more than holds; what it cannot say (roles of
//! which each answers alone, tags that count in one direction or not at all, data sources out of reach, internal values
//! that flow) is an empty map with `Deny`. The tags of a feature are those of the policy and of the catalogue together.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::proto::{Agent, AgentKind, FeaturePermission, FeaturePermissions, GetAgentResponse, ServiceTokenAgent};
use crate::policy::catalogue::{Class, TagId};
use crate::policy::resolve::{RoleId, Table};
use crate::policy::{Permission, Policy, Role};

/// The answer about a caller: `subject` as `/v1/who-am-i` gives it, empty where there is none; `environment` likewise. It has
/// no claims and no permission slugs: those of Chalk are not ours to promise.
pub fn answer(permissions: FeaturePermissions, subject: &str, environment: &str) -> GetAgentResponse {
    let agent = ServiceTokenAgent {
        id: subject.to_owned(),
        client_id: subject.to_owned(),
        team_id: String::new(),
        environment: environment.to_owned(),
        feature_permissions: Some(permissions),
    };
    GetAgentResponse { agent: Some(Agent { agent: Some(AgentKind::ServiceToken(agent)) }) }
}

/// The map of the roles that these tables are of.
pub fn permissions(policy: &Policy, tables: &[Arc<Table>]) -> FeaturePermissions {
    let stated = match tables {
        [table] => Stated::of(policy, table),
        _ => None,
    };
    let stated = stated.unwrap_or(Stated { tags: BTreeMap::new(), default: Permission::Deny });
    let tags = stated.tags.iter();
    FeaturePermissions {
        tags: tags.map(|(tag, given)| (policy.catalogue.tags.name(*tag).to_owned(), number(*given))).collect(),
        default_permission: Some(number(stated.default)),
    }
}

struct Stated {
    tags: BTreeMap<TagId, Permission>,
    default: Permission,
}

impl Stated {
    /// For each tag that any of the roles maps what a feature with that tag alone has. `None`: it would say too much.
    fn of(policy: &Policy, table: &Table) -> Option<Self> {
        let roles = || table.roles.iter().filter_map(|id: &RoleId| policy.roles.get(usize::from(*id)));
        let least = |of: &dyn Fn(&Role) -> Permission| roles().map(of).min();
        let mapped = roles().flat_map(|role| role.tag_places.iter().map(|(tag, _, _)| *tag));
        let mut tags = BTreeMap::new();
        for tag in mapped {
            tags.insert(tag, least(&|role| role.permission_of(tag).unwrap_or(role.default))?);
        }
        let stated = Self { tags, default: least(&|role| role.default)? };
        stated.holds(policy, table).then_some(stated)
    }

    /// Whether it gives no feature more than its own tags do, or than is left of that by what no lineage of Chalk's knows:
    /// rules 2 and 6.
    fn holds(&self, policy: &Policy, table: &Table) -> bool {
        let given: Vec<Permission> = policy.catalogue.classes.iter().map(|class| self.give(class)).collect();
        policy.catalogue.features().iter().zip(0..).all(|(feature, id)| {
            let cell = table.cell(id);
            let most = if matches!(cell.rule, 2 | 6) { cell.permission } else { table.own(feature).permission };
            given.get(feature.class as usize).is_some_and(|given| *given <= most)
        })
    }

    fn give(&self, class: &Class) -> Permission {
        class.all_tags.iter().filter_map(|tag| self.tags.get(tag)).min().copied().unwrap_or(self.default)
    }
}

fn number(permission: Permission) -> i32 {
    let permission = match permission {
        Permission::Deny => FeaturePermission::Deny,
        Permission::AllowInternal => FeaturePermission::AllowInternal,
        Permission::Allow => FeaturePermission::Allow,
        Permission::AllowDownstream => FeaturePermission::AllowDownstream,
    };
    permission.into()
}

#[cfg(test)]
mod tests;
