-- KEYS: the window. ARGV: place, seconds. Two windows of at most 65536 places each live at a time.
local count = redis.call('HINCRBY', KEYS[1], ARGV[1], 1)
redis.call('EXPIRE', KEYS[1], ARGV[2])
return count
