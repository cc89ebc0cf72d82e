"""An online store that ranks row by row.

Feast's own search in SQLite loads an extension (sqlite-vec), which Pythons without `enable_load_extension` cannot. All else
of a search is the real server's: its routes, its checks, and what it makes of the rows.
"""

from feast.infra.online_stores.sqlite import SqliteOnlineStore, SqliteOnlineStoreConfig
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

CUSTOMERS = range(1, 111)


# The store below it looks for this ending in the name of the type.
class RankingSqliteOnlineStoreConfig(SqliteOnlineStoreConfig):
    type: str = "ranking.RankingSqliteOnlineStore"


class RankingSqliteOnlineStore(SqliteOnlineStore):
    def nearest(self, config, table, query, filters, most):
        vector = next(field.name for field in table.features if field.vector_index)
        keys = [EntityKey(join_keys=["customer_id"], entity_values=[Value(int64_val=n)]) for n in CUSTOMERS]
        rows = self.online_read(config, table, keys, [field.name for field in table.features])
        found = []
        for key, (when, values) in zip(keys, rows):
            if values and (filters is None or values[filters.key].int64_val == filters.value):
                at = list(values[vector].float_list_val.val)
                distance = sum((a - b) ** 2 for a, b in zip(at, query or at)) ** 0.5
                found.append((distance, when, key, values, values[vector]))
        return sorted(found, key=lambda row: row[0])[:most]

    def retrieve_online_documents(
        self, config, table, requested_features, embedding, top_k, distance_metric=None
    ):
        nearest = self.nearest(config, table, embedding, None, top_k)
        return [(when, key, at, at, Value(float_val=distance)) for distance, when, key, _, at in nearest]

    def retrieve_online_documents_v2(
        self, config, table, requested_features, embedding, top_k, distance_metric=None, query_string=None,
        filters=None, include_feature_view_version_metadata=False,
    ):
        nearest = self.nearest(config, table, embedding, filters, top_k)
        return [
            (when, key, values | {"distance": Value(float_val=distance)}) for distance, when, key, values, _ in nearest
        ]
