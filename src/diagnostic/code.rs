//! Every code that a finding can have: the one place where its name, its severity and its meaning stand.
//!
//! Names are stable: scripts filter by them. `docs/findings.md` is generated from here.

use std::fmt;

use super::Severity;

macro_rules! codes {
    ($($variant:ident $severity:ident $name:literal: $means:literal, $remedy:literal;)*) => {
        /// What kind of finding it is. Closed: a code that is not in this list does not compile.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $means] $variant,)*
        }

        impl Code {
            /// All of them, errors first, in the order of their names.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable word for scripts, such as `unknown-key`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// How bad it is.
            pub fn severity(self) -> Severity {
                match self {
                    $(Self::$variant => Severity::$severity,)*
                }
            }

            /// What it means: one line, lower case, no full stop, markdown.
            pub fn means(self) -> &'static str {
                match self {
                    $(Self::$variant => $means,)*
                }
            }

            /// What to do about it: one line, lower case, no full stop, markdown.
            pub fn remedy(self) -> &'static str {
                match self {
                    $(Self::$variant => $remedy,)*
                }
            }
        }
    };
}

codes! {
    Address Error "address":
        "a listener's address is no address and port",
        "write an IP address and a port, such as `127.0.0.1:8080`";
    Algorithm Error "algorithm":
        "the algorithms of an issuer are none, or do not go with its kind of key",
        "name asymmetric algorithms with public keys and `HS…` with a `secret_file`, or leave the list out";
    Audiences Error "audiences":
        "an issuer does not say for whom its tokens must be",
        "list the audiences; `unchecked` turns the check off";
    BindingRoles Error "binding-roles":
        "a binding names no role",
        "name the roles that it gives";
    BindingWhen Error "binding-when":
        "the `when` of a binding is missing, empty or ambiguous, or wants what no claim can be",
        "name the claims and the texts, whole numbers or booleans that they must be; with more than one source of credentials `iss` or a `cert.*` too";
    BundleMember Error "bundle-member":
        "a member of a bundle names no feature",
        "write the feature's name, or a map with `feature`";
    Claim Error "claim":
        "a client's claim is one that the issuer sets, or one that tokens cannot carry",
        "give the claim another name, or a value that JSON has";
    ClientId Error "client-id":
        "a client's id is empty, too long, or cannot be sent in a header",
        "name it with up to 128 printable ASCII characters, without blanks, `:` and `\"`";
    Conflict Error "conflict":
        "two files say different things of one setting, feature, bundle or data source",
        "say it in one of the two places that are named";
    Cycle Error "cycle":
        "the lineage goes in a circle; the features on it are printed",
        "take one of the inputs or joins out; `not_inputs` takes out an imported one";
    DefaultDownstream Error "default-downstream":
        "a role's `default` is `AllowDownstream`, which would clear everything that is not tagged",
        "let `Allow` be the default, and map a tag to `AllowDownstream`";
    Description Error "description":
        "the description of a server names a place or a variable that is none, or contradicts itself",
        "mend what the message names; `docs/dialects/README.md` says what goes where";
    Dialect Error "dialect":
        "something is set that goes with another dialect",
        "take it out, or set the `dialect` that it goes with";
    DuplicateKey Error "duplicate-key":
        "a key stands twice in one map",
        "make one of the two";
    DuplicateName Error "duplicate-name":
        "a role, bundle, data source, issuer or route, or a secret or API key of clients, stands twice",
        "make one of the two, or give one of them another name";
    Duration Error "duration":
        "a duration does not read",
        "write `250ms`, `30s`, `5m`, `1h` or `30d`";
    Empty Error "empty":
        "a file, a text or a list says nothing",
        "say it, or leave it out";
    EmptyCatalogue Error "empty-catalogue":
        "the catalogue files hold no feature: most likely an import that went wrong",
        "import again, and look at what the import says";
    Environment Error "environment":
        "the name of an environment cannot be sent in a header",
        "write it as the deployment does: printable ASCII without blanks";
    FeatureName Error "feature-name":
        "a feature's name is empty or holds control characters",
        "write the name as the feature server writes it";
    Hash Error "hash":
        "a client's secret or API key is kept as something else than a hash that is verified",
        "let `tagwarden client` write it; an imported argon2id hash costs at most `m=65536,t=10,p=4`";
    Keys Error "keys":
        "an issuer's `keys`, or `opaque`, names nothing to verify tokens with, or several things",
        "name one of `jwks_url`, `jwks_file`, `pem_file` and `secret_file`; for `opaque`, `introspection` or `who_am_i`";
    Limit Error "limit":
        "a limit is 0, so nothing would be served",
        "leave it out, or name the most that there may be";
    Missing Error "missing":
        "something without which the rest has no meaning is not there",
        "add what the message names";
    NotInputs Error "not-inputs":
        "a catalogue takes inputs out",
        "move `not_inputs` to the policy, where somebody reviews it";
    Pattern Error "pattern":
        "a pattern says nothing, says more than `tags`, or stands in a catalogue",
        "give a pattern tags and nothing else, in the policy";
    PlainSecret Error "plain-secret":
        "a secret stands in the configuration itself",
        "take it from a variable, or from a file";
    Route Error "route":
        "a route is always served, is no plain path, or contradicts itself",
        "see the message: a path, methods in capitals, and either `roles` or `public`";
    SecretId Error "secret-id":
        "the id of a client's secret or API key is too long, or has other letters than `a` to `z` and digits",
        "name it `s1` or `k1`, as `tagwarden client` does";
    Share Error "share":
        "a share is not between 0 and 1",
        "write a number from 0 to 1";
    Shrunk Error "shrunk":
        "the policy has lost half of the roles, bindings or tagged features of the one before: a reload would refuse it",
        "bring back what is missing, or set `allow_shrink` for this change";
    Size Error "size":
        "a size does not read",
        "write bytes, or `64KiB`, `8MiB`";
    Store Error "store":
        "the issuer's store is none, or two",
        "name `embedded`, a file, or `redis_url`";
    Syntax Error "syntax":
        "the file is not YAML, or larger or deeper than is read",
        "mend the place that is shown";
    TestCaller Error "test-caller":
        "a policy test names both `roles` and `caller`, or neither",
        "say who asks in one of the two ways";
    Threads Error "threads":
        "`threads` is 0, so nothing would run",
        "leave it out, or name how many";
    Time Error "time":
        "a time does not read",
        "write `2026-11-23T08:00:00Z`, or an offset such as `+01:00` in the place of `Z`";
    TooManyRoles Error "too-many-roles":
        "there are more roles than can be told apart",
        "make one role of those that map the same tags";
    TooManySecrets Error "too-many-secrets":
        "a client has more than two secrets that have not expired",
        "take the oldest out, or let it expire";
    UnknownInput Error "unknown-input":
        "an input is no feature that any file names",
        "mend the name, or name the feature under `features`";
    UnknownJoin Error "unknown-join":
        "a join is no feature that any file names",
        "mend the name, or name the key under `features`";
    UnknownKey Error "unknown-key":
        "a map has a key that means nothing there",
        "mend the spelling, or take it out";
    UnknownMember Error "unknown-member":
        "a member of a bundle, or a key that it renames, is no feature that any file names",
        "mend the name, or name the feature under `features`";
    UnknownRole Error "unknown-role":
        "a binding or a policy test names a role that is not there",
        "mend the name, or add the role";
    UnknownSource Error "unknown-source":
        "a feature reads a data source that is not there",
        "mend the name, or add it under `datasources`";
    UnknownVariable Error "unknown-variable":
        "the description of a server names a variable that nothing gives",
        "mend the name, or say under `scope` where it comes from";
    UnknownWord Error "unknown-word":
        "a setting or permission has a word that it does not know",
        "write one of the words that the message lists, letter by letter";
    UnregisteredTag Error "unregistered-tag":
        "the policy uses a tag that is not in its register `tags`",
        "mend the tag, or add it to `tags`";
    Url Error "url":
        "a URL does not read, or is of a kind that is not reached",
        "write `http://host:port`, `https://host:port`, or where the message says so `unix:/path`";
    Variable Error "variable":
        "a `${NAME}` names a variable that is not set, or does not read",
        "set the variable, or give a default: `${NAME:-default}`";
    Version Error "version":
        "`version: 1` is missing, or is another version",
        "begin the file with `version: 1`";
    WrongKind Error "wrong-kind":
        "a value is of another kind than the one that is wanted: a text for a list, a list for a map",
        "write the kind that the message names";
    ClearingAndRestricting Warning "clearing-and-restricting":
        "a feature has a tag that clears it and one that restricts it; the restricting one wins",
        "take one of the two tags off the feature";
    DefeatedTag Warning "defeated-tag":
        "a tag that clears a feature never does, since a `Deny` in its lineage always wins",
        "take the tag off, open what is denied below, or set `declassification: boundary`";
    LiteralRoute Warning "literal-route":
        "the path of a route holds `*`, `{` or `}`, which stand for themselves: no other path is like it",
        "list each path by itself, or take the route out";
    LiveCatalogue Warning "live-catalogue":
        "the live item of `catalogue` is not looked at: a check connects to nothing, so what only the deployment names is not there",
        "check over what `catalogue import chalk` makes of the project, as `--catalogue`";
    NeverReturned Warning "never-returned":
        "features that no role can ever return",
        "nothing, where they are meant to stay inside; else let a role return them";
    NoCertificates Warning "no-certificates":
        "a binding asks for a client certificate, and the configuration asks clients for none",
        "set `listen.tls.client_ca`, or take the binding out";
    NoEnvironment Warning "no-environment":
        "nobody said which environment the Chalk deployment is, so that a query may name none, and chalkpy's name one",
        "set `chalk.environment`, unless no client names one";
    NoSource Warning "no-source":
        "a role is limited to some data sources, and raw features that name none pass the limit by",
        "name the `sources` of raw features";
    RolesReturnLess Warning "roles-return-less":
        "roles that one binding gives together return less than one of them alone",
        "give them to different callers, or set `combine: most_permissive`";
    RouteRole Warning "route-role":
        "a route is for a role that the policy does not define, so that nobody holds it",
        "mend the name, or define the role";
    UnboundRole Warning "unbound-role":
        "a role that no binding gives",
        "bind it, or take it out";
    UnknownFeature Warning "unknown-feature":
        "a policy test, or `writes` of a role, names a feature that is not there",
        "mend the name";
    UnregisteredCatalogueTag Warning "unregistered-catalogue-tag":
        "the catalogue uses a tag that is not in the policy's register `tags`",
        "add it to `tags` where it means something";
    UntaggedOverInternal Warning "untagged-over-internal":
        "a feature without tags can be returned although one of its inputs is internal: it may be a copy",
        "tag it, or set `internal: flows`";
    UnusedNotInput Warning "unused-not-input":
        "`not_inputs` takes out what is no imported input",
        "take it out, unless the input is yet to come";
    UnusedPattern Warning "unused-pattern":
        "a pattern that matches no feature",
        "mend the pattern, or take it out";
    UnusedTag Warning "unused-tag":
        "a role maps a tag that no feature carries, or may read data sources with a tag that none carries",
        "mend the tag, or take it out";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order_and_of_one_style() {
        let order: Vec<(Severity, &str)> = Code::ALL.iter().map(|code| (code.severity(), code.name())).collect();
        assert!(order.is_sorted_by(|a, b| a < b), "{order:?}");
        for code in Code::ALL {
            let name = code.name();
            assert!(name.split('-').all(|w| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase())), "{name}");
            let kebab = format!("{code:?}").chars().fold(String::new(), |text, c| match c.is_uppercase() {
                true if !text.is_empty() => format!("{text}-{}", c.to_lowercase()),
                _ => format!("{text}{}", c.to_lowercase()),
            });
            assert_eq!(kebab, name);
            for text in [code.means(), code.remedy()] {
                let begins = text.starts_with(|c: char| c.is_lowercase() || c == '`');
                assert!(begins && !text.ends_with('.') && !text.contains(['\n', '|']), "{name}: {text}");
            }
        }
    }
}
