//! A policy as the explorer looks at it: what is read again, sorted or resolved for the page, kept while somebody looks. The
//! caches of the data path are left alone.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::ask::{Ask, Asker, OfCaller, Rows};
use super::refused::Refused;
use super::{compare, features, query};
use crate::diagnostic::nearest;
use crate::policy::bindings::{self, BindingSeen};
use crate::policy::catalogue::FeatureId;
use crate::policy::explain::Files;
use crate::policy::file::Layer;
use crate::policy::resolve::{RoleId, Tables};
use crate::policy::{Policy, permission::Permission, settings::Mode};
use crate::snapshot::{Rules, Snapshot};

/// Sets of roles whose tables are kept.
const MOST_TABLES: usize = 4;
/// How long a view is kept that nobody asks for. Together its parts take about what the policy itself takes.
const IDLE: Duration = Duration::from_secs(300);
/// Bindings that are told one by one.
const MOST_BINDINGS: usize = 100;
/// Tags of a role that are told.
const MOST_TAGS: usize = 50;

/// What is kept between questions, of the live policy and of the candidate.
#[derive(Debug, Default)]
pub(super) struct Views(Mutex<Vec<(Arc<View>, Instant)>>);

/// One policy.
#[derive(Debug)]
pub(super) struct View {
    of: Arc<Rules>,
    sorted: OnceLock<Box<[FeatureId]>>,
    rules: OnceLock<Layer>,
    imported: OnceLock<Arc<Layer>>,
    tables: Mutex<Vec<(Box<[RoleId]>, Tables)>>,
}

/// One question's share of it: the snapshot that the answer is of.
pub(super) struct Work {
    pub snapshot: Arc<Snapshot>,
    pub views: Arc<Views>,
}

/// Who asks, under one policy.
pub(super) struct Seen {
    pub roles: Vec<RoleId>,
    pub tables: Tables,
    /// Names that this policy does not have.
    pub missing: Vec<String>,
}

impl Views {
    fn all(&self) -> MutexGuard<'_, Vec<(Arc<View>, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The view of these rules. Those of others than `both` go.
    fn of(&self, rules: &Arc<Rules>, both: [Option<&Arc<Rules>>; 2]) -> Arc<View> {
        let mut views = self.all();
        views.retain(|(view, _)| both.into_iter().flatten().any(|rules| Arc::ptr_eq(&view.of, rules)));
        if let Some((view, used)) = views.iter_mut().find(|(view, _)| Arc::ptr_eq(&view.of, rules)) {
            *used = Instant::now();
            return Arc::clone(view);
        }
        let view = Arc::new(View::new(Arc::clone(rules)));
        views.push((Arc::clone(&view), Instant::now()));
        view
    }

    /// What was read of the same catalogue by another view.
    fn below(&self, rules: &Rules) -> Option<Arc<Layer>> {
        let views = self.all();
        let same = views.iter().filter(|(view, _)| view.of.written.same_below(&rules.written));
        same.into_iter().find_map(|(view, _)| view.imported.get().cloned())
    }

    pub(super) fn sweep(&self) {
        self.all().retain(|(_, used)| used.elapsed() < IDLE);
    }
}

impl View {
    fn new(of: Arc<Rules>) -> Self {
        let (sorted, rules, imported) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self { of, sorted, rules, imported, tables: Mutex::default() }
    }

    pub(super) fn policy(&self) -> &Policy {
        &self.of.policy
    }

    /// All features by their names.
    pub(super) fn sorted(&self) -> &[FeatureId] {
        self.sorted.get_or_init(|| {
            let mut ids: Vec<(&str, FeatureId)> =
                self.policy().catalogue.features().iter().zip(0..).map(|(feature, id)| (&*feature.name, id)).collect();
            ids.sort_unstable();
            ids.into_iter().map(|(_, id)| id).collect()
        })
    }

    /// What the files say.
    pub(super) fn files(&self, views: &Views) -> Files<'_> {
        let read = || views.below(&self.of).unwrap_or_else(|| Arc::new(self.of.written.imported()));
        Files { rules: self.rules(), imported: self.imported.get_or_init(read) }
    }

    fn rules(&self) -> &Layer {
        self.rules.get_or_init(|| self.of.written.rules())
    }

    fn tables(&self, roles: &[RoleId]) -> Tables {
        let mut kept = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, tables)) = kept.iter().find(|(of, _)| **of == *roles) {
            return Arc::clone(tables);
        }
        if kept.len() == MOST_TABLES {
            kept.remove(0);
        }
        let tables = self.policy().tables(roles);
        kept.push((roles.into(), Arc::clone(&tables)));
        tables
    }

    /// A caller as this policy sees it.
    pub(super) fn seen(&self, caller: &Asker) -> Seen {
        let (mut roles, mut missing) = (Vec::new(), Vec::new());
        match caller {
            Asker::Claims(claims) => roles = self.policy().roles_of(claims),
            Asker::Roles(names) => {
                for name in names {
                    match self.policy().role_id(name) {
                        Some(id) => roles.push(id),
                        None => missing.push(name.clone()),
                    }
                }
                roles.sort_unstable();
                roles.dedup();
            }
        }
        Seen { tables: self.tables(&roles), roles, missing }
    }

    pub(super) fn role_names(&self, roles: &[RoleId]) -> Vec<&str> {
        roles.iter().map(|role| self.policy().role_name(*role)).collect()
    }
}

impl Work {
    /// The answer.
    pub(super) fn answer(&self, ask: &Ask) -> Result<Value, Refused> {
        match ask {
            Ask::Roles(rows) => Ok(self.roles(rows)),
            Ask::Caller(asked) => self.caller(asked),
            Ask::Features(asked) => features::list(self, asked),
            Ask::Feature(asked) => features::one(self, asked),
            Ask::Query(asked) => query::decide(self, asked),
            Ask::Compare(asked) => compare::list(self, asked),
        }
    }

    fn both(&self) -> [Option<&Arc<Rules>>; 2] {
        [Some(&self.snapshot.rules), self.snapshot.shadow.as_ref().map(|shadow| &shadow.rules)]
    }

    /// The policy that answers.
    pub(super) fn live(&self) -> Arc<View> {
        self.views.of(&self.snapshot.rules, self.both())
    }

    /// The candidate.
    pub(super) fn shadow(&self) -> Option<Arc<View>> {
        let shadow = self.snapshot.shadow.as_ref()?;
        Some(self.views.of(&shadow.rules, self.both()))
    }

    /// A caller under the live policy, whose roles all have to be there.
    pub(super) fn seen(&self, live: &View, caller: &Asker) -> Result<Seen, Refused> {
        let seen = live.seen(caller);
        let Some(missing) = seen.missing.first() else { return Ok(seen) };
        let near = nearest(missing, live.policy().role_names()).map(|name| format!("; did you mean `{name}`?"));
        Err(Refused::Asked(format!("role `{missing}` does not exist{}", near.unwrap_or_default())))
    }

    /// The roles that there are, by name.
    fn roles(&self, rows: &Rows) -> Value {
        let live = self.live();
        let policy = live.policy();
        let words = features::Words::new(&rows.search);
        let found: Vec<&str> = policy.role_names().filter(|name| words.all_in(name)).collect();
        let row = |name: &&str| {
            let role = policy.role_id(name).and_then(|id| policy.roles.get(usize::from(id)))?;
            let tag = |(tag, permission, _): &(u32, Permission, _)| {
                json!([policy.catalogue.tags.name(*tag), permission.name()])
            };
            let mode = match role.mode.unwrap_or(policy.settings.mode) {
                Mode::Reject => "reject",
                Mode::Filter => "filter",
            };
            let tags: Vec<Value> = role.tag_places.iter().take(MOST_TAGS).map(tag).collect();
            Some(json!({"role": name, "default": role.default.name(), "mode": mode, "tags": tags}))
        };
        let shown: Vec<Value> = found.iter().skip(rows.offset).take(rows.limit).filter_map(row).collect();
        json!({"generation": self.snapshot.generation, "total": found.len(), "offset": rows.offset, "rows": shown})
    }

    /// Which roles a caller has, and how claims give them. No value of a claim is told.
    fn caller(&self, asked: &OfCaller) -> Result<Value, Refused> {
        let live = self.live();
        let seen = self.seen(&live, &asked.caller)?;
        let shadow = self.shadow();
        let of_shadow = shadow.as_ref().map(|view| {
            let seen = view.seen(&asked.caller);
            json!({"roles": view.role_names(&seen.roles), "missing": seen.missing})
        });
        let (bindings, more) = match &asked.caller {
            Asker::Roles(_) => (None, 0),
            Asker::Claims(claims) => {
                let mut seen: Vec<BindingSeen> = bindings::explain(&live.rules().bindings, claims);
                // Those that match first, each in the order of the files.
                seen.sort_by_key(|binding| !binding.matched);
                let more = seen.len().saturating_sub(MOST_BINDINGS);
                seen.truncate(MOST_BINDINGS);
                (Some(seen), more)
            }
        };
        Ok(json!({
            "generation": self.snapshot.generation,
            "roles": live.role_names(&seen.roles),
            "shadow": of_shadow,
            "bindings": bindings,
            "more_bindings": more,
        }))
    }
}
