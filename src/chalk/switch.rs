//! Parts of a query that a role or the configuration must allow by name (config.md, `chalk`; policy.md, `roles`).

/// A part of a query that a role or the configuration must allow by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Switch {
    /// `explain`: the plan of the query in the answer.
    Explain,
    /// Another branch, deployment, preview or deployment tag: other tags, another lineage.
    Branch,
    /// `store_plan_stages`: values between the stages are kept.
    PlanStages,
    /// `context.tags`, `context.required_resolver_tags`, and a `query_name` beside outputs: which data source answers.
    ContextTags,
    /// `overlay_graph`: features and resolvers of the caller's making.
    OverlayGraph,
    /// `staleness`: how old cached values may be.
    Staleness,
    /// `planner_options`, `context.options`: how the query is executed.
    PlannerOptions,
    /// `query_context`: values that resolvers can read.
    QueryContext,
    /// `value_metrics_tag_by_features`: values as labels of metrics.
    ValueMetrics,
    /// `inputs_sql`: SQL over the stores as input.
    InputsSql,
}

impl Switch {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Explain,
        Self::Branch,
        Self::PlanStages,
        Self::ContextTags,
        Self::OverlayGraph,
        Self::Staleness,
        Self::PlannerOptions,
        Self::QueryContext,
        Self::ValueMetrics,
        Self::InputsSql,
    ];

    /// As in `chalk: {allow: […]}`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Explain => "explain",
            Self::Branch => "branch",
            Self::PlanStages => "plan_stages",
            Self::ContextTags => "context_tags",
            Self::OverlayGraph => "overlay_graph",
            Self::Staleness => "staleness",
            Self::PlannerOptions => "planner_options",
            Self::QueryContext => "query_context",
            Self::ValueMetrics => "value_metrics",
            Self::InputsSql => "inputs_sql",
        }
    }

    /// Each with its name, for readers of files.
    pub fn words() -> [(&'static str, Self); 10] {
        Self::ALL.map(|switch| (switch.name(), switch))
    }

    /// The switch of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|switch| switch.name() == name)
    }
}
