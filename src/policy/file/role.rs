//! Roles.

use super::{FileReader, MODES, Text};
use crate::chalk::Switch;
use crate::diagnostic::{Code, Place};
use crate::policy::permission::Permission;
use crate::policy::settings::Mode;
use crate::yaml::{Node, Value};

/// A role as written.
#[derive(Clone, Debug)]
pub struct RoleText {
    /// Where its name stands.
    pub place: Place,
    /// `default`, `Allow` where left out.
    pub default: Permission,
    /// Tag, permission, place; blocklists included.
    pub tags: Vec<(Text, Permission)>,
    /// Those of `tags` that a blocklist gives, each with the list's name.
    pub blocked: Vec<(Text, &'static str)>,
    /// `datasources.allow`; `None`: every source.
    pub datasources: Option<Vec<Text>>,
    /// `datasources.manage`.
    pub manage: bool,
    /// Switches of the Chalk dialect.
    pub chalk_allow: Vec<(Switch, Place)>,
    /// Features or patterns that a push may write.
    pub writes: Vec<Text>,
    /// A mode of its own.
    pub mode: Option<Mode>,
}
const ROLE_KEYS: &[&str] = &["description", "default", "tags", "blocklists", "datasources", "chalk", "writes", "mode"];
const PERMISSIONS: &[(&str, Permission)] = &[
    ("Deny", Permission::Deny),
    ("AllowInternal", Permission::AllowInternal),
    ("Allow", Permission::Allow),
    ("AllowDownstream", Permission::AllowDownstream),
];

impl FileReader<'_, '_> {
    pub(super) fn role(&mut self, name: &str, place: Place, node: &Node) -> RoleText {
        let mut role = RoleText {
            place,
            default: Permission::Allow,
            tags: Vec::new(),
            blocked: Vec::new(),
            datasources: None,
            manage: false,
            chalk_allow: Vec::new(),
            writes: Vec::new(),
            mode: None,
        };
        if matches!(node.value, Value::Null) {
            return role;
        }
        let Some(fields) = self.r.fields(node, &format!("role `{name}`"), ROLE_KEYS) else { return role };
        if let Some(node) = fields.get("description") {
            self.r.text(node, "`description`");
        }
        if let Some(node) = fields.get("default")
            && let Some(default) = self.default_permission(node)
        {
            if default == Permission::AllowDownstream {
                let message = "`default` is `AllowDownstream`, which would clear everything that is not tagged";
                self.r.error(node, Code::DefaultDownstream, message);
            } else {
                role.default = default;
            }
        }
        if let Some(entries) = fields.get("tags").and_then(|n| self.r.entries(n, "`tags` of a role")) {
            for (key, value) in entries {
                let what = format!("the permission of tag `{}`", key.name);
                if let Some(permission) = self.r.word(value, &what, PERMISSIONS) {
                    role.tags.push((Text { value: key.name.clone(), place: self.r.key_place(key) }, permission));
                }
            }
        }
        if let Some(node) = fields.get("blocklists")
            && let Some(lists) = self.r.fields(node, "`blocklists`", &["compute", "output"])
        {
            for (list, permission) in [("compute", Permission::Deny), ("output", Permission::AllowInternal)] {
                let names = self.names(lists.get(list), &format!("`blocklists.{list}`"));
                role.blocked.extend(names.iter().map(|name| (name.clone(), list)));
                role.tags.extend(names.into_iter().map(|name| (name, permission)));
            }
        }
        if let Some(node) = fields.get("datasources")
            && let Some(sources) = self.r.fields(node, "`datasources` of a role", &["allow", "manage"])
        {
            // `allow:` with nothing behind it is a slip, and must not read as every source.
            if let Some((_, allow)) = sources.raw("allow") {
                role.datasources = Some(self.names(Some(allow), "`datasources.allow`"));
            }
            if let Some(manage) = sources.get("manage") {
                role.manage = self.r.boolean(manage, "`datasources.manage`").unwrap_or(false);
            }
        }
        if let Some(node) = fields.get("chalk")
            && let Some(chalk) = self.r.fields(node, "`chalk`", &["allow"])
        {
            let items = chalk.get("allow").and_then(|node| self.r.list(node, "`chalk.allow` of a role"));
            for item in items.unwrap_or_default() {
                let switch = self.r.word(item, "an item of `chalk.allow` of a role", &Switch::words());
                role.chalk_allow.extend(switch.map(|switch| (switch, self.r.place(item))));
            }
        }
        role.writes = self.names(fields.get("writes"), "`writes`");
        role.mode = fields.get("mode").and_then(|node| self.r.word(node, "`mode`", MODES));
        role
    }

    /// `default`; a misspelt one is offered what it may be.
    fn default_permission(&mut self, node: &Node) -> Option<Permission> {
        let allowed: Vec<(&str, Permission)> =
            PERMISSIONS.iter().filter(|(_, p)| *p != Permission::AllowDownstream).copied().collect();
        let downstream = matches!(&node.value, Value::Str(text) if text == Permission::AllowDownstream.name());
        if downstream { Some(Permission::AllowDownstream) } else { self.r.word(node, "`default`", &allowed) }
    }
}
