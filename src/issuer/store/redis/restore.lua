-- KEYS: revoked, clients. ARGV: channel, (kind, value, name)…: what this server has lost. There is no `now`: the month is long
-- enough, and a sweep removes each entry in its time. It is published because a replica may have started from the empty server.
for i = 2, #ARGV, 3 do
  local key = KEYS[1]
  if ARGV[i] == 'c' then
    key = KEYS[2]
    redis.call('HSETNX', key, ARGV[i + 2], ARGV[i + 1])
  else
    redis.call('ZADD', key, 'GT', ARGV[i + 1], ARGV[i] .. ARGV[i + 2])
  end
  if redis.call('TTL', key) < 0 then
    redis.call('EXPIRE', key, 31 * 86400)
  end
  redis.call('PUBLISH', ARGV[1], ARGV[i] .. ' ' .. ARGV[i + 1] .. ' ' .. ARGV[i + 2])
end
return 1
