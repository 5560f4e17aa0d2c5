-- Keeps a token unless a fresh one is there; gives the one that is kept.
-- ARGV: text, made at, fresh from, fresh until, kept for (ms)
local key = KEYS[1]
local kept = redis.call('HMGET', key, 'text', 'made_at')
local made_at = tonumber(kept[2])
if kept[1] and made_at and made_at >= tonumber(ARGV[3]) and made_at <= tonumber(ARGV[4]) then
  return {kept[1], made_at}
end
redis.call('HSET', key, 'text', ARGV[1], 'made_at', ARGV[2])
redis.call('PEXPIRE', key, ARGV[5])
return {ARGV[1], tonumber(ARGV[2])}
