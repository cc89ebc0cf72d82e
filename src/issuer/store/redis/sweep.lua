-- KEYS: revoked, clients. ARGV: forgotten when it ended until then, how many at once. Gives how many went.
local gone = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
if #gone > 0 then
  redis.call('ZREM', KEYS[1], unpack(gone))
  return #gone
end
local all = redis.call('HGETALL', KEYS[2])
for i = 1, #all, 2 do
  if tonumber(string.match(all[i + 1], '%d+$')) <= tonumber(ARGV[1]) then
    redis.call('HDEL', KEYS[2], all[i])
  end
end
return 0
