-- KEYS: revoked, family (of 'f'; the others name `revoked` again). ARGV: 't' or 'f', name, until, now, kept, channel.
if ARGV[1] == 'f' then
  redis.call('DEL', KEYS[2])
end
redis.call('ZADD', KEYS[1], 'GT', ARGV[3], ARGV[1] .. ARGV[2])
local life = math.max(1, tonumber(ARGV[3]) - tonumber(ARGV[4])) + tonumber(ARGV[5])
if redis.call('TTL', KEYS[1]) < life then
  redis.call('EXPIRE', KEYS[1], life)
end
redis.call('PUBLISH', ARGV[6], ARGV[1] .. ' ' .. ARGV[3] .. ' ' .. ARGV[2])
return 1
