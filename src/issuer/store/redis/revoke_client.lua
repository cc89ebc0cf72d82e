-- KEYS: clients, last. ARGV: client, issued before, until, now, kept, channel. Gives the revocation as it is now.
-- All replicas read the file that disables a client, and each of them says so: what changes nothing is not published again.
local before, till = ARGV[2], ARGV[3]
local last = redis.call('GET', KEYS[2])
if last and tonumber(till) < tonumber(last) then
  till = last
end
local old = redis.call('HGET', KEYS[1], ARGV[1])
if old then
  local old_before, old_till = string.match(old, '^(%d+) (%d+)$')
  if tonumber(before) < tonumber(old_before) then before = old_before end
  if tonumber(till) < tonumber(old_till) then till = old_till end
end
local new = before .. ' ' .. till
if new ~= old then
  redis.call('HSET', KEYS[1], ARGV[1], new)
  redis.call('PUBLISH', ARGV[6], 'c ' .. new .. ' ' .. ARGV[1])
end
local life = math.max(1, tonumber(till) - tonumber(ARGV[4])) + tonumber(ARGV[5])
if redis.call('TTL', KEYS[1]) < life then
  redis.call('EXPIRE', KEYS[1], life)
end
return {before, till}
