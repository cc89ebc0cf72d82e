-- KEYS: family, token, last. ARGV: client, token, id, refresh end, access end, now, kept.
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
local life = math.max(1, tonumber(ARGV[4]) - tonumber(ARGV[6])) + tonumber(ARGV[7])
redis.call('HSET', KEYS[1], 'client', ARGV[1], 'newest', ARGV[2], 'begun', ARGV[6], 'refresh', ARGV[4], 'access', ARGV[5])
redis.call('EXPIRE', KEYS[1], life)
redis.call('SET', KEYS[2], ARGV[4] .. ' ' .. ARGV[3], 'EX', life)
if tonumber(redis.call('GET', KEYS[3]) or '0') < tonumber(ARGV[4]) then
  redis.call('SET', KEYS[3], ARGV[4], 'EX', life)
end
return 1
