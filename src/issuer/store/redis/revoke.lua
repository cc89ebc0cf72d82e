-- KEYS: revoked, family (of 'f'; the others name `revoked` again). ARGV: 't' or 'f', name, until, now, kept, channel.
-- Gives until when it is kept: of a family that was refreshed since whoever revokes looked at it, longer.
local till = ARGV[3]
if ARGV[1] == 'f' then
  local access = redis.call('HGET', KEYS[2], 'access')
  if access and tonumber(till) < tonumber(access) then till = access end
  redis.call('DEL', KEYS[2])
end
redis.call('ZADD', KEYS[1], 'GT', till, ARGV[1] .. ARGV[2])
local life = math.max(1, tonumber(till) - tonumber(ARGV[4])) + tonumber(ARGV[5])
if redis.call('TTL', KEYS[1]) < life then
  redis.call('EXPIRE', KEYS[1], life)
end
redis.call('PUBLISH', ARGV[6], ARGV[1] .. ' ' .. till .. ' ' .. ARGV[2])
return till
