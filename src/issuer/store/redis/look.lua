-- KEYS: family, clients. ARGV: now.
local row = redis.call('HMGET', KEYS[1], 'client', 'newest', 'begun', 'refresh', 'access')
local client, newest, begun, refresh, access = unpack(row)
if not client or tonumber(refresh) <= tonumber(ARGV[1]) then
  return {}
end
local ended = redis.call('HGET', KEYS[2], client)
if ended and tonumber(begun) < tonumber(string.match(ended, '^%d+')) then
  return {}
end
return {newest, client, refresh, access}
