"""What a restricted caller asks for and does not get (wire-chalk.md, sections 4 and 5), each through every door that it fits."""

from dataclasses import dataclass, field

# Each way in: the kind of the client, its method, and what of a query that method can say.
QUERY = {"staleness", "tags", "query_name", "query_name_version", "explain", "store_plan_stages", "required_resolver_tags",
         "value_metrics_tag_by_features", "query_context", "branch", "overlay"}
WAYS = {
    "json": ("http", "query", QUERY | {"environment", "preview_deployment_id", "planner_options"}),
    "bulk": ("http", "query_bulk", QUERY | {"environment", "preview_deployment_id"}),
    "multi": ("http", "multi_query", {
        "tags", "value_metrics_tag_by_features", "staleness", "query_name", "query_name_version", "query_context", "branch",
        "environment", "preview_deployment_id", "overlay"}),
    "call": ("grpc", "query", QUERY | {"planner_options"}),
    "call-bulk": ("grpc", "online_query_bulk", QUERY | {"planner_options"}),
    "call-multi": ("grpc", "multi_query", QUERY | {"planner_options"}),
}
HTTP, CALLS = ["json", "bulk", "multi"], ["call", "call-bulk", "call-multi"]
OF_ONE_QUERY = ("tags", "staleness", "value_metrics_tag_by_features")


@dataclass
class Case:
    output: list
    # UNAUTHORIZED, with these as its features; or INVALID_QUERY, with this in its message
    refused: list = field(default_factory=list)
    invalid: str = ""
    # what is left of it where what is refused is taken out: name -> value
    left: dict = field(default_factory=dict)
    more: dict = field(default_factory=dict)
    new: dict = field(default_factory=dict)
    ways: list = field(default_factory=lambda: list(WAYS))

    def fits(self, way):
        # multi_query over HTTP leaves expressions out, without a word
        expressions = any(output.startswith("=") and ".alias(" in output for output in self.output)
        return way in self.ways and set(self.more) <= WAYS[way][2] and not (expressions and way == "multi")

    def arguments(self, way, output):
        more = dict(self.more)
        if "multi" in way:
            own = {name: more.pop(name) for name in OF_ONE_QUERY if name in more}
            return {"queries": [{"input": {"user.id": [1]}, "output": output} | own]} | more
        return {"input": {"user.id": [1] if "bulk" in way else 1}, "output": output} | more


def named(*names, **more):
    """Outputs that are refused as they are written."""
    return Case(list(names), refused=list(names), **more)


def switch(name, **more):
    return Case(["user.name"], invalid=f"`{name}` is not allowed for this caller", more=more)


IDENTITY = {"user.identity.id": 1, "user.identity.is_voip_phone": False}
USER = {"user.id": 1, "user.name": "Ada", "user.avg_transaction_amount": 2028.375, "user.fraud_score": 0.25, "user.count__3600__": 3}
# Calls carry no X-Chalk-Features-Versioned: there a name without a version may be the default one.
UNVERSIONED = {name: value for name, value in USER.items() if name != "user.fraud_score"}
HEADER = "X-Chalk-Features-Versioned"
ROWS = {"transaction.id": [1, 2], "transaction.user_id": [1, 1]}

SPELLINGS = {
    "feature": Case(["=User.ssn"], ["user.ssn"]),
    "internal": Case(["=Transaction.amount"], ["transaction.amount"]),
    "has-one": Case(["=User.identity.number"], ["user.identity.number"]),
    "has-one-root": Case(["=User.identity"], ["user.identity"], left=IDENTITY),
    "namespace": Case(["=User"], ["user"], left=USER, ways=HTTP),
    "namespace-of-a-call": Case(["user"], ["user"], left=UNVERSIONED, ways=CALLS),
    "has-many": Case(["=User.transactions"], ["user.transactions"], left={"user.transactions": ROWS}),
    "projection": Case(
        ["=User.transactions[Transaction.id, Transaction.amount]"], ["user.transactions[transaction.id,transaction.amount]"],
        left={"user.transactions": {"transaction.id": [1, 2]}}),
    "projection-of-it-alone": named("user.transactions[transaction.amount]"),
    "projection-over-has-one": named("user.transactions[transaction.user.ssn]"),
    "projection-to-a-row": Case(["user.transactions[transaction.user]"], ["user.transactions[transaction.user]"], ways=[]),
    "window": Case(["=User.count('1d')"], ["user.count__86400__"]),
    "window-shown": named('user.count["1d"]'),
    "window-of-all-time": named("user.count__all__"),
    "window-ahead": named("user.count__neg604800__"),
    "window-of-a-version": named("user.count__86400__@2"),
    "version": Case(["=User.fraud_score"], ["user.fraud_score@2"]),
    "version-1": named("user.ssn@1", "user.fraud_score@1"),
    "default-version": named("user.fraud_score", new={"additional_headers": {HEADER: "false"}}, ways=HTTP),
    "default-version-of-a-call": named("user.fraud_score", ways=CALLS),
    "resolver": named("get_score"),
    "case": named("USER.SSN", "User.ssn", "user.SSN", "user.s\u017fn"),
    "blanks": named(" user.ssn", "user.ssn ", "user. ssn", "user.ssn\t"),
    "window-alias": named("user.count_1d", "user.count__1d__", "user.count_24h"),
    "way-through-has-many": named("user.transactions.amount"),
    "projection-spellings": named(
        "user.transactions[ transaction.amount ]", "user.transactions[transaction.id, transaction.amount]",
        "user.transactions[amount]", "user.transactions[transaction.AMOUNT]", "user.transactions[transaction.amount"),
    "pseudo": named(
        "now", "__chalk__.now", "index", "__id__", "__distance__", "CHALK_TS", "__observed_at__", "__replaced_observed_at__",
        "user.__chalk_observed_at__"),
    "other": named("user.ssn.x", ".user.ssn", "user..ssn", "user", "*", "user.*", "", ways=[]),
}
NOT_TOGETHER = "=_.user.transactions[_.amount].sum()"
WAYS_ROUND = {
    # 1: expressions
    "alias": Case(["=User.ssn.alias('harmless')"], ["user.harmless"]),
    "alias-of-a-version": Case(["=(User.fraud_score @ 2).alias('harmless')"], ["user.harmless"], ways=[]),
    "sum": Case([f"{NOT_TOGETHER}.alias('total')"], ["total"]),
    "count-by-amount": Case(["=_.user.transactions[_.id, _.amount > 1500.0].count().alias('total')"], ["total"]),
    "over-has-one": Case(["=_.user.identity.number.alias('total')"], ["total"]),
    "function": Case(["=F.upper(_.user.ssn).alias('total')"], ["total"]),
    "arithmetic": Case(["=(_.user.count__86400__ * 2 + 1).alias('total')"], ["total"], ways=[]),
    "alias-of-a-feature": Case(["=User.name.alias('ssn')"], invalid="the name `ssn` of an expression is taken"),
    "alias-of-a-bundle": Case(["=_.user.name.alias('fraud')"], invalid="the name `fraud` of an expression is taken"),
    "alias-twice": Case(
        ["=User.name.alias('a')", "=User.ssn.alias('a')"], invalid="the name `a` of an expression is taken"),
    "alias-unplain": Case(["=User.name.alias('Called')"], invalid="Called"),
    # 2: a graph of the caller's own
    "overlay": Case(["user.leak"], invalid="`overlay_graph` is not allowed for this caller", more={"overlay": True}),
    # 3: named queries
    "bundle": Case([], ["fraud@1.1.0"], more={"query_name": "fraud", "query_name_version": "1.1.0"}),
    "bundle-of-nobody": Case([], ["nope"], more={"query_name": "nope"}),
    "bundle-of-no-version": Case([], ["fraud@2"], more={"query_name": "fraud", "query_name_version": "2"}),
    "bundle-unversioned": Case([], ["fraud"], left={"user.name": "Ada"}, more={"query_name": "fraud"}, ways=CALLS),
    "bundle-beside-outputs": switch("context_tags", query_name="fraud"),
    # 4 and 5: roots and spellings, above. 6: another graph
    "branch": switch("branch", branch="b1"),
    "preview": switch("branch", preview_deployment_id="p1"),
    "deployment-tag": Case(["user.name"], invalid="`branch` is not allowed", new={"deployment_tag": "t1"}),
    "environment": Case(["user.name"], invalid="the environment `staging` is not the one", more={"environment": "staging"}),
    "environment-of-a-call": Case(
        ["user.name"], invalid="the environment `staging` is not the one", new={"additional_headers": {"x-chalk-env-id": "staging"}}, ways=CALLS),
    # 7: the source
    "tags": switch("context_tags", tags=["replica:eu"]),
    "resolver-tags": switch("context_tags", required_resolver_tags=["fast"]),
    # 9: beside the answer
    "explain": switch("explain", explain=True),
    "plan-stages": switch("plan_stages", store_plan_stages=True),
    "value-metrics": switch("value_metrics", value_metrics_tag_by_features=["=User.name"]),
    "planner-options": switch("planner_options", planner_options={"x": 1}),
    "query-context": switch("query_context", query_context={"region": "eu"}),
    "staleness": switch("staleness", staleness={"=User.name": "1h"}),
}
CASES = SPELLINGS | WAYS_ROUND
