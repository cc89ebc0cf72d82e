-- KEYS: family, next token, last, clients, revoked.
-- ARGV: token, next token, id, refresh end, access end, now, kept, repeat seconds, channel.
local row = redis.call('HMGET', KEYS[1], 'client', 'newest', 'previous', 'used', 'begun', 'refresh', 'access')
local client, newest, previous, used, begun, refresh, access = unpack(row)
local now = tonumber(ARGV[6])
if not client or tonumber(refresh) <= now then
  return {'ended'}
end
local ended = redis.call('HGET', KEYS[4], client)
if ended and tonumber(begun) < tonumber(string.match(ended, '^%d+')) then
  return {'ended'}
end
if previous == ARGV[1] and newest == ARGV[2] then
  return {'rotated', client, refresh, access}
end

local outcome
if newest == ARGV[1] then
  outcome = 'rotated'
  redis.call('HSET', KEYS[1], 'previous', ARGV[1], 'used', ARGV[6])
elseif previous == ARGV[1] and math.abs(now - tonumber(used)) <= tonumber(ARGV[8]) then
  outcome = 'repeated'
else
  redis.call('DEL', KEYS[1])
  redis.call('ZADD', KEYS[5], 'GT', access, 'f' .. ARGV[3])
  local life = math.max(1, tonumber(access) - now) + tonumber(ARGV[7])
  if redis.call('TTL', KEYS[5]) < life then
    redis.call('EXPIRE', KEYS[5], life)
  end
  redis.call('PUBLISH', ARGV[9], 'f ' .. access .. ' ' .. ARGV[3])
  return {'reused', client, refresh, access}
end

if tonumber(access) < tonumber(ARGV[5]) then
  access = ARGV[5]
end
local life = math.max(1, tonumber(ARGV[4]) - now) + tonumber(ARGV[7])
redis.call('HSET', KEYS[1], 'newest', ARGV[2], 'refresh', ARGV[4], 'access', access)
redis.call('EXPIRE', KEYS[1], life)
redis.call('SET', KEYS[2], ARGV[4] .. ' ' .. ARGV[3], 'EX', life)
if tonumber(redis.call('GET', KEYS[3]) or '0') < tonumber(ARGV[4]) then
  redis.call('SET', KEYS[3], ARGV[4], 'EX', life)
end
return {outcome, client, ARGV[4], access}
