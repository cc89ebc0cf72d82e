//! `admin`: the listener of operators, and who may ask it.

use crate::config::Admin;
use crate::config::reader::ConfigReader;
use crate::diagnostic::Code;
use crate::yaml::Node;

impl ConfigReader<'_, '_> {
    pub(super) fn admin(&mut self, node: Option<&Node>) -> Admin {
        let keys = &["address", "token_file", "hosts", "explore"];
        let fields = node.and_then(|node| self.r.fields(node, "`admin`", keys));
        let get = |name: &str| fields.as_ref().and_then(|fields| fields.get(name));
        let address = self.address(get("address"), "`admin.address`", "127.0.0.1:9901");
        let token_file = get("token_file").and_then(|node| self.path(node, "`token_file`"));
        if let (Some(node), None, None) = (get("address"), &token_file, get("token_file"))
            && !address.ip().is_loopback()
        {
            let message = "`admin.address` is not loopback, and there is no `token_file` with the token to ask for";
            self.r.error(node, Code::Missing, message);
        }
        let explore = get("explore").and_then(|node| self.r.boolean(node, "`explore`")).unwrap_or(true);
        Admin { address, token_file, hosts: self.hosts(get("hosts")), explore }
    }

    /// Names alone: a port would never be looked at.
    fn hosts(&mut self, node: Option<&Node>) -> Vec<String> {
        let Some(items) = node.and_then(|node| self.r.list(node, "`hosts`")) else { return Vec::new() };
        let mut hosts = Vec::new();
        for item in items {
            let Some(host) = self.r.text(item, "an item of `hosts`").map(str::to_ascii_lowercase) else { continue };
            let letters = host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
            if host.is_empty() || !letters {
                let message =
                    format!("`hosts` has `{host}`, which is no name such as `tagwarden.example`, without a port");
                self.r.error(item, Code::Address, message);
            }
            hosts.push(host);
        }
        hosts
    }
}
