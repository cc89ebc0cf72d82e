-- KEYS: revoked, clients. ARGV: channel, (kind, value, name)…: what this server has lost. There is no `now`: the month is long
-- enough, and a sweep removes each entry in its time. It is published because a replica may have started from the empty server;
-- what is here already was published by whoever brought it, and all replicas bring the same.
for i = 2, #ARGV, 3 do
  local kind, value, name = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local key, new = KEYS[1], nil
  if kind == 'c' then
    key = KEYS[2]
    local old = redis.call('HGET', key, name)
    if old then
      local before, till = string.match(value, '^(%d+) (%d+)$')
      local old_before, old_till = string.match(old, '^(%d+) (%d+)$')
      if tonumber(before) < tonumber(old_before) then before = old_before end
      if tonumber(till) < tonumber(old_till) then till = old_till end
      value = before .. ' ' .. till
    end
    new = value ~= old
    if new then redis.call('HSET', key, name, value) end
  else
    new = redis.call('ZADD', key, 'GT', 'CH', value, kind .. name) == 1
  end
  if redis.call('TTL', key) < 0 then
    redis.call('EXPIRE', key, 31 * 86400)
  end
  if new then
    redis.call('PUBLISH', ARGV[1], kind .. ' ' .. value .. ' ' .. name)
  end
end
return 1
